"""What the shipped model answers, number by number: every processor must come to the same.

    .venv/bin/python -m bench.answers > tests/answers.json

stores it anew, which is needed whenever the model, its vocabulary or the texts below change.
"""

import json

from model.classifier import Classifier
from model.engines import start_engine
from service.settings import SHIPPED_MODEL

# Of all lengths and labels, and of everything that a text is made of.
TEXTS = (
    "好",
    "这家餐厅的菜不好吃",
    "這家餐廳的菜不好吃，服務也很差。",
    "房间干净，服务也好！！！",
    "太失望了，再也不会买了😡",
    "请问明天几点开门？",
    "会议定于下周三上午九点在三楼举行。",
    "手机屏幕很清楚，但是电池只能用半天。",
    "物流太慢，等了 12 天才到，客服还不理人。",
    "说不上好，也说不上不好，一般般吧。",
    "早餐有豆浆、油条和包子，每位 28 元。",
    "没想到这么便宜的耳机音质这么好，五星好评👍",
    "演员演得不错，可惜剧情拖沓，后半部几乎看不下去。",
    "APP 更新之后一直闪退，<b>怎么</b>联系客服？",
    "老师讲得很细，作业也批改得认真，孩子进步很大。",
    "昨天在 www.example.com 买的书，今天就到了，包装完好。",
    "公司发布了第三季度的财务报告，营业收入同比下降百分之五。",
    "ok",
    "？？？",
    "孩子发烧三天了，医生说是普通感冒，多喝水多休息就好。[流泪]",
    # Longer than a window.
    "酒店离车站很近，走路只要五分钟。前台办得很快，房间也宽敞。可惜隔音不好，半夜还能听见走廊里"
    "有人说话。早餐的种类很少，味道一般。总的来说，这个价钱还算值得，下次来可能还会住。" * 8,
)


def answers() -> dict[str, object]:
    """The logits of every window, each read alone, and of the first sixteen read together."""
    artifact = Classifier.load(SHIPPED_MODEL, engine="onnx").artifact
    engine = start_engine(artifact, "onnx")
    encoder = artifact.encoder()
    windows = [window for text in TEXTS for window in encoder.encode(text).windows]
    return {
        "model": artifact.digest,
        "alone": [engine.logits([window])[0].tolist() for window in windows],
        "together": engine.logits(windows[:16]).tolist(),
    }


def main() -> None:
    """Prints JSON."""
    print(json.dumps(answers()).replace("], [", "],\n["))


if __name__ == "__main__":
    main()
