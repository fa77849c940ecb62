"""Truths that hold for the network whatever it was trained on."""

import pytest
import torch
from torch import Tensor, nn

from model.config import NetworkConfig
from model.network import (
    LanguageModel,
    LockedDropout,
    SentimentNetwork,
    WordVectors,
    reverse_inside_length,
)
from model.network_shapes import float16_tensors
from model.text.vocabulary import PADDING_ID

CONFIG = NetworkConfig(embedding_size=12, hidden_size=12, input_dropout=0.0, output_dropout=0.0)
WORDS = 50
SPELLINGS = ["<pad>", "<unk>", *("一二三四五六七八九十"[i % 10] * (1 + i // 10) for i in range(48))]


@pytest.fixture
def network() -> SentimentNetwork:
    torch.manual_seed(1)
    return SentimentNetwork(WORDS, 3, CONFIG).eval()


def batch(*sequences: list[int], width: int | None = None) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    ids = torch.full((len(sequences), width or int(lengths.max())), PADDING_ID)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence)
    return ids, lengths


def test_padding_changes_no_answer(network: SentimentNetwork) -> None:
    torch.testing.assert_close(network(*batch([5, 6, 7])), network(*batch([5, 6, 7], width=40)))


def test_a_text_alone_and_in_a_batch_get_the_same_answer(network: SentimentNetwork) -> None:
    sequences = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14]]
    together = network(*batch(*sequences))
    alone = torch.cat([network(*batch(sequence)) for sequence in sequences])
    torch.testing.assert_close(together, alone)


def test_every_parameter_gets_a_gradient(network: SentimentNetwork) -> None:
    ids, lengths = batch(list(range(2, 30)), [3, 4])
    nn.functional.cross_entropy(network(ids, lengths), torch.tensor([0, 2])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.to_dense().abs().sum() > 0, name


def test_every_parameter_of_the_language_model_gets_a_gradient() -> None:
    torch.manual_seed(1)
    model = LanguageModel(SPELLINGS, CONFIG)
    ids, lengths = batch(list(range(2, 30)), [3, 4])
    model(ids, lengths, torch.arange(2, 40), torch.zeros(WORDS)).backward()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.to_dense().abs().sum() > 0, name


def test_its_weights_have_the_shapes_that_artifacts_are_checked_against() -> None:
    config = CONFIG.model_copy(update={"hidden_size": 8})
    network = SentimentNetwork(WORDS, 3, config)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == {name: spec.shape for name, spec in float16_tensors(WORDS, config).items()}


def test_a_handful_of_texts_can_be_learnt_by_heart() -> None:
    torch.manual_seed(1)
    network = SentimentNetwork(WORDS, 3, CONFIG)
    ids, lengths = batch([2, 3, 4], [4, 3, 2], [5, 6], [6, 5, 5, 6], [7], [2, 7])
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    embedding = network.reader.embedding.weight
    rest = [parameter for parameter in network.parameters() if parameter is not embedding]
    optimizers = [torch.optim.Adam(rest, lr=0.01), torch.optim.SparseAdam([embedding], lr=0.01)]
    for _ in range(150):
        for optimizer in optimizers:
            optimizer.zero_grad()
        nn.functional.cross_entropy(network(ids, lengths), labels).backward()
        for optimizer in optimizers:
            optimizer.step()
    assert network.eval()(ids, lengths).argmax(dim=1).tolist() == labels.tolist()


def test_the_two_lstms_are_one_bidirectional_packed_lstm(network: SentimentNetwork) -> None:
    reader = network.reader
    packed = nn.LSTM(12, 12, batch_first=True, bidirectional=True)
    state = reader.forward_lstm.state_dict()
    state |= {f"{name}_reverse": t for name, t in reader.backward_lstm.state_dict().items()}
    packed.load_state_dict(state)
    ids, lengths = batch([5, 6, 7, 8], [9, 10], [11])
    expected, _ = nn.utils.rnn.pad_packed_sequence(
        packed(
            nn.utils.rnn.pack_padded_sequence(
                reader.embedding(ids), lengths, batch_first=True, enforce_sorted=False
            )
        )[0],
        batch_first=True,
    )
    states = torch.cat(reader(ids, lengths), dim=2)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(states[row, :length], expected[row, :length])


def test_sequences_are_reversed_inside_their_length() -> None:
    ids, lengths = batch([1, 2, 3], [4])
    assert reverse_inside_length(ids, lengths).tolist() == [[3, 2, 1], [4, 0, 0]]


def test_a_language_model_learns_that_one_word_follows_another() -> None:
    torch.manual_seed(1)
    model = LanguageModel(SPELLINGS, CONFIG)
    ids, lengths = batch([2, 3, 4, 5], [2, 3, 4, 5])
    samples, log_expected = torch.arange(2, WORDS), torch.zeros(WORDS)
    before = model(ids, lengths, samples, log_expected).item()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        loss = model(ids, lengths, samples, log_expected)
        loss.backward()
        optimizer.step()
    assert loss.item() < before / 4


@pytest.mark.parametrize("hidden_size", [8, 24])
def test_states_of_another_size_are_projected_to_the_word_vectors(hidden_size: int) -> None:
    model = LanguageModel(SPELLINGS, CONFIG.model_copy(update={"hidden_size": hidden_size}))
    ids, lengths = batch([2, 3, 4, 5], [2, 3])
    model(ids, lengths, torch.arange(2, 40), torch.zeros(WORDS)).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name in ("forward_projection.weight", "backward_projection.weight"):
        gradient = gradients[name]
        assert gradient is not None
        assert gradient.abs().sum() > 0


def test_the_loss_of_the_language_model_is_the_sampled_softmax() -> None:
    """The same by plain loops, with targets that are among the samples and some that are not."""
    torch.manual_seed(1)
    model = LanguageModel(SPELLINGS, CONFIG).eval()
    nn.init.normal_(model.bias.weight)
    ids, lengths = batch([2, 3, 4, 3], [5, 2])
    samples, log_expected = torch.tensor([3, 7, 2]), torch.rand(WORDS)
    table = model.trained_reader()["embedding.weight"]
    model.reader.embedding.weight.copy_(table)
    from_left, from_right = model.reader(ids, lengths)
    losses = []
    for row, length in enumerate(lengths.tolist()):
        for place in range(length - 1):
            for state, target in (
                (from_left[row, place], ids[row, place + 1]),
                (from_right[row, place + 1], ids[row, place]),
            ):
                rivals = torch.stack([target, *(s for s in samples if s != target)])
                scores = table[rivals] @ state + model.bias.weight[rivals, 0] - log_expected[rivals]
                losses.append(scores.logsumexp(0) - scores[0])
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(model(ids, lengths, samples, log_expected), expected)


def test_words_of_the_same_characters_share_their_vectors() -> None:
    vectors = WordVectors(["<pad>", "<unk>", "好吃", "吃好", "好", "app"], 8)
    with torch.no_grad():
        vectors.words.weight.zero_()
    liked, turned, single, _ = vectors(torch.tensor([2, 3, 4, 5]))
    torch.testing.assert_close(liked, turned)
    assert not torch.equal(liked, single)
    assert vectors(torch.tensor([0, 1])).abs().sum() == 0


def test_locked_dropout_drops_the_same_features_at_every_step_and_keeps_the_mean() -> None:
    torch.manual_seed(1)
    dropped = LockedDropout(0.25)(torch.ones(200, 5, 40))
    assert dropped.mean().item() == pytest.approx(1, abs=0.03)
    assert (dropped == dropped[:, :1]).all()
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    states = torch.ones(2, 3, 4)
    assert LockedDropout(0.25).eval()(states) is states
