// The page's words in Chinese.

import { en } from "./en.js";

/** @type {typeof en} */
export const zh = {
  title: "中文情感分析",
  subtitle: "正面、中性还是负面，以及为什么",
  skip: "跳到正文",
  otherLanguage: "English",
  dark: "深色主题",
  light: "浅色主题",
  apiDocs: "接口文档",
  ways: "使用方式",
  tabSingle: "单条文本",
  tabCompare: "两条对比",
  tabBulk: "批量分析",
  privacy: "文本只发送到本服务，只在此标签页中保留到关闭为止。",
  modelCard: "模型卡",
  close: "关闭",
  table: "表格",
  modelLine: en.modelLine,

  keyLabel: "访问密钥（API key）",
  keyHint:
    "本服务需要访问密钥，可向服务管理员索取。密钥只保存在此标签页中，关闭后即清除。",
  keyRefused: "密钥无效或已过期。",
  keyButton: "使用此密钥",

  yourText: "中文文本",
  analyse: "分析",
  analysing: "分析中……",
  stillWaiting: "仍在等待服务响应。",
  cancelled: "已取消。",
  stale: "文本已修改，以下是修改前的结果。",
  staleComparison: "文本已修改，以下是修改前的对比。",
  examples: "示例",
  exampleMixed: "有褒有贬",
  exampleComplaint: "投诉",
  exampleFact: "事实陈述",
  exampleTraditional: "繁体与表情",
  exampleUnsure: "难以判断",
  exampleContrast: "多句评价",
  count: (n, limit) => (limit ? `${n} / ${limit} 字` : `${n} 字`),

  positive: "正面",
  neutral: "中性",
  negative: "负面",
  confidenceOf: (p) => `置信度 ${p}`,
  verdict: (label, p) => `${label}，置信度 ${p}。`,
  uncertainBecause: {
    low_confidence: "置信度偏低，建议人工复核。",
    no_chinese: "没有识别出中文词，结果不可靠。",
    unknown_words: "其中许多词模型不认识。",
  },
  facts: (f, took) =>
    [
      `${f.characters} 字`,
      `识别出 ${f.tokens} 个词`,
      f.unknown === "0" ? "都在词表内" : `其中 ${f.unknown} 个不在词表内`,
      f.windows === "1" ? "" : `分 ${f.windows} 段读取`,
      took,
    ]
      .filter(Boolean)
      .join(" · "),

  sentences: "逐句结果",
  allSentences: (n) => `显示全部 ${n} 句`,
  sentencesCaption: "每句单独判断。上面的标签由全文得出，不是各句投票的结果。",
  sentenceTip: (text, label, p, unsure) =>
    `“${text}”：${label}，置信度 ${p}${unsure ? "，偏低" : ""}。`,
  why: "为什么",
  quoted: (words) => `“${words}”`,
  conclusion: (label, towards, against) => {
    if (!towards.length && !against.length) return `没有哪一处起决定作用：去掉任何一处，结果仍是${label}。`;
    return [
      towards.length ? `判为${label}，主要因为${towards.join("、")}。` : `没有哪一处单独使它成为${label}。`,
      against.length ? `相反的有${against.join("、")}。` : "",
    ].join("");
  },
  unitNames: { token: "词", clause: "分句" },
  unitsCaption: (unit) =>
    `颜色和符号表示这个${unit}倾向于哪个标签，数字表示去掉它后该标签的对数几率会下降多少（0.7 相当于几率翻倍，2.3 相当于十倍）。`,
  legend: "图例",
  legendDropped: "停用词，不读取",
  legendPunctuation: "标点",
  legendUnknown: "词表外的词，按字读取",
  listComma: "，",
  unitTip: (unit, parts) => `去掉${unit}后：${parts}。`,
  part: (share, label) => `${label} ${share}`,
  droppedTip: (token) => `${token}是停用词，网络不会读取。`,
  unknownTip: "词表中没有这个词，按单字读取。",
  unknownWordsTip: (words) => `词表外的词：${words}。`,
  readAs: (normalized) => `按“${normalized}”处理。`,
  nothingRead: "这条文本中没有识别出任何词，因此没有可解释的内容。",
  tooLongToAnalyse: "句子太多，无法逐句判断；标签由全文得出。",

  gates: "查看 LSTM 内部",
  gatesLead: (unit, written, left) =>
    `${unit}写入记忆最多：输入门平均打开 ${written}，写入的内容最后还留存 ${left}。`,
  gatesCaption:
    "LSTM 从前往后、从后往前各读一遍。表中列出每个词的三个门平均打开多少，以及该词写入的内容最后还留存多少，单位都是百分比。颜色越深，数值越高。停用词不读取。将鼠标悬停在单元格上，或用方向键移动，可查看说明。",
  forward: "从前往后",
  backward: "从后往前",
  input: "输入门",
  forget: "遗忘门",
  output: "输出门",
  retained: "最后留存",
  gateTip: (direction, gate, unit, value, level) => {
    if (gate === "retained") {
      return `${direction}读，${unit}写入记忆的内容最后还留存 ${value}：${level}留存。`;
    }
    const words = {
      input: `这个词${level}写入记忆`,
      forget: `之前的记忆${level}保留`,
      output: `记忆${level}输出`,
    };
    return `${direction}读，${unit}的${zh[gate]}平均打开 ${value}：${words[gate]}。`;
  },
  levels: ["几乎不", "少量", "约一半", "大部分", "几乎全部"],

  judge: "判断对吗？",
  judgeRight: "正确",
  judgeWrong: "错了，应为",
  marksHint: "保留在此标签页中；下载的文件可用于 sentiment train。",
  marksDownload: (n) => `下载 ${n} 条标注（CSV）`,

  developers: "开发者",
  curl: "curl",
  python: "Python",
  javascript: "JavaScript",
  reply: "返回结果（JSON）",
  code: "代码",
  copy: "复制",
  copied: "已复制",
  selected: "已选中，请按 Ctrl+C",
  otherCalls: "逐句结果、原因、批量和流式接口见",
  link: "这条文本的链接",
  copyLink: "复制链接",
  linkHint: "文本在链接的 # 之后，浏览器不会把这部分发送给服务器。",

  compareHint: "一字之差，意思可能完全相反。输入两条文本，看看有什么变化。",
  firstText: "第一条",
  secondText: "第二条",
  compareButton: "对比",
  difference: "有什么变化",
  differenceCaption: "第二条比第一条多（+）或少（−）的百分点。",
  label: "标签",
  change: "变化",
  changeSentence: (a, b) => (a === b ? `两条都是${a}。` : `从${a}变为${b}。`),

  bulkLines: "文本，每行一条",
  bulkDrop: "把 CSV 文件拖到这里，或点击选择",
  bulkExample: "填入几行示例",
  bulkCount: (n) => `${n} 条文本`,
  bulkStart: "全部分析",
  chosenFile: (name, n) => `${name}：${n} 行`,
  decodedAs: (encoding) => `按 ${encoding.toUpperCase()} 读取`,
  textColumn: "文本所在的列",
  headerRow: "第一行是列名",
  removeFile: "移除文件",
  columnName: (n) => `column_${n}`,
  cancel: "取消",
  bulkDone: (n, all) => `${n} / ${all} 条`,
  bulkFinished: (n) => `完成：共 ${n} 条。`,
  bulkCancelled: (n, all) => `已取消：完成 ${n} / ${all} 条。`,
  bulkStopped: (n, all) => `已停止：完成 ${n} / ${all} 条。`,
  notDone: "未分析",
  labels: "标签分布",
  errors: "无结果",
  chartSummary: (parts) => `标签分布条形图：${parts}。`,
  chartPart: (label, n, share) => `${label} ${n} 条（${share}）`,
  share: "占比",
  number: "条数",
  results: "结果",
  onlyFirst: (shown, all) => `共 ${all} 行，表中只列出前 ${shown} 行；下载的文件包含全部。`,
  row: "行",
  text: "文本",
  confidence: "置信度",
  error: "错误",
  download: "下载 CSV",
  formulas: (n) =>
    `有 ${n} 行含有以 = + - 或 @ 开头的单元格，电子表格软件可能把它当作公式执行。文件会原样保留每个单元格，除非选择在前面加撇号。`,
  escapeFormulas: "为 Excel 转义",
  emptyFile: "这个文件里没有文本。",
  unreadableFile: "无法读取这个文件。它是 CSV 或文本文件吗？",
  nothingToDo: "还没有文本：请粘贴几行，或选择一个 CSV 文件。",

  problem: {
    0: () => "无法连接到服务。请确认服务正在运行、网络正常。",
    408: () => "文本未能及时送达，请重试。",
    413: (limit) =>
      limit ? `文本太长：一次最多读取 ${limit} 字，请缩短后再试。` : "文本太长，请缩短后再试。",
    422: () => "这里没有可读的内容，请输入文本。",
    429: () => "服务非常繁忙，请稍后再试。",
    503: () => "模型尚未就绪，请稍后再试。",
    504: () => "等待结果超时，请重试，或缩短文本。",
    500: (_, id) => `服务出错，详情见服务日志${id ? `（请求 ${id}）` : ""}。`,
    halfCharacter: () => "文本中有残缺的字符，无法读取，请将其删去。",
    broken: () => "模型无法加载，请联系服务管理员，原因见服务日志。",
    library: () => "页面的一部分无法加载，请重试。",
  },
  waiting: {
    429: (s) => `服务繁忙，${s} 秒后重试……`,
    503: () => "模型正在加载，结果会自动出现……",
  },
};
