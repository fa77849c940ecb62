"""The network: word embeddings, two LSTMs that read the text from either end, one linear layer.

An LSTM (Hochreiter and Schmidhuber, 1997; forget gate after Gers et al., 2000) reads word by word
and carries a memory along. Its input gate decides what of a word enters that memory, its forget
gate what of it stays, its output gate what of it shows. That is how a 不 early in a sentence still
counts at its end, where the gradient of a plain RNN would have vanished.

Letters in the shapes: B texts, T tokens of the longest, E embedding size, H hidden size, L labels.
"""

import torch
from torch import Tensor, nn

from model.config import NetworkConfig
from model.vocab import PADDING_ID


def reverse_inside_length(states: Tensor, lengths: Tensor) -> Tensor:
    """Each sequence backwards inside its own length; the padding stays behind it.

    Packing would do the same, but leaves the CPU's fast LSTM kernel and costs 2.5 times as much.

    Args:
        states: (B, T, ...) right-padded sequences.
        lengths: (B,) how many steps of each are real.
    """
    steps = torch.arange(states.size(1), device=states.device)  # (T,)
    mirrored = lengths[:, None] - 1 - steps  # (B, T)
    index = torch.where(mirrored >= 0, mirrored, steps)  # (B, T)
    return states[torch.arange(states.size(0), device=states.device)[:, None], index]


class LockedDropout(nn.Module):
    """Dropout that drops the same features at every step (Gal and Ghahramani, 2016)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, states: Tensor) -> Tensor:
        """(B, T, E) to (B, T, E)."""
        if not self.training or self.probability == 0:
            return states
        mask = states.new_empty(states.size(0), 1, states.size(2))
        mask.bernoulli_(1 - self.probability)
        return states * mask / (1 - self.probability)


class BidirectionalReader(nn.Module):
    """Embeddings and the two LSTMs: what language-model pre-training and classification share."""

    def __init__(self, vocabulary_size: int, config: NetworkConfig) -> None:
        super().__init__()
        size, hidden = config.embedding_size, config.hidden_size
        # Sparse gradients: a batch holds a few thousand of the words, not all of them.
        self.embedding = nn.Embedding(vocabulary_size, size, padding_idx=PADDING_ID, sparse=True)
        nn.init.normal_(self.embedding.weight, std=size**-0.5)
        with torch.no_grad():
            self.embedding.weight[PADDING_ID].zero_()
        self.input_dropout = LockedDropout(config.input_dropout)
        self.forward_lstm = nn.LSTM(size, hidden, batch_first=True)
        self.backward_lstm = nn.LSTM(size, hidden, batch_first=True)

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The states of both directions, each at the place of the word just read.

        Args:
            ids: (B, T) right-padded word ids.
            lengths: (B,) how many ids of each text are real.

        Returns:
            (B, T, H) forward and (B, T, H) backward states.
        """
        vectors = self.input_dropout(self.embedding(ids))  # (B, T, E)
        forward_states, _ = self.forward_lstm(vectors)  # (B, T, H)
        mirrored, _ = self.backward_lstm(reverse_inside_length(vectors, lengths))  # (B, T, H)
        return forward_states, reverse_inside_length(mirrored, lengths)


class SentimentNetwork(nn.Module):
    """Reads a batch of texts and gives one logit a label.

    The states of every word are pooled three ways: by attention (Yang et al., 2016), by maximum
    and by mean. No padding reaches a state or a pool, so a text alone and in a batch is the same.
    """

    def __init__(self, vocabulary_size: int, labels: int, config: NetworkConfig) -> None:
        super().__init__()
        self.reader = BidirectionalReader(vocabulary_size, config)
        width = 2 * config.hidden_size
        self.attention = nn.Linear(width, 1)
        self.output_dropout = nn.Dropout(config.output_dropout)
        self.output = nn.Linear(3 * width, labels)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Logits of shape (B, L).

        Args:
            ids: (B, T) right-padded word ids.
            lengths: (B,) how many ids of each text are real, each at least 1.
        """
        states = torch.cat(self.reader(ids, lengths), dim=2)  # (B, T, 2H)
        steps = torch.arange(ids.size(1), device=ids.device)
        padding = (steps >= lengths[:, None])[:, :, None]  # (B, T, 1)

        scores = self.attention(states).masked_fill(padding, float("-inf"))  # (B, T, 1)
        attended = (states * scores.softmax(dim=1)).sum(dim=1)  # (B, 2H)
        highest = states.masked_fill(padding, float("-inf")).amax(dim=1)  # (B, 2H)
        mean = states.masked_fill(padding, 0.0).sum(dim=1) / lengths[:, None]  # (B, 2H)
        pooled = torch.cat([attended, highest, mean.to(highest.dtype)], dim=1)  # (B, 6H)
        logits: Tensor = self.output(self.output_dropout(pooled))  # (B, L)
        return logits


class LanguageModel(nn.Module):
    """Predicts the next word from the left and the previous one from the right.

    Its reader is the classifier's: pre-trained here on text without labels, it starts there with
    an idea of the language (Dai and Le, 2015; Howard and Ruder, 2018). Input and output vectors
    are the same (Press and Wolf, 2017), so embedding and hidden size must be equal.
    """

    def __init__(self, vocabulary_size: int, config: NetworkConfig) -> None:
        super().__init__()
        self.reader = BidirectionalReader(vocabulary_size, config)
        self.bias = nn.Embedding(vocabulary_size, 1, sparse=True)
        nn.init.zeros_(self.bias.weight)
        self.state_dropout = LockedDropout(config.input_dropout)

    def forward(
        self, ids: Tensor, lengths: Tensor, samples: Tensor, log_expected: Tensor
    ) -> Tensor:
        """The mean loss over all words that have a neighbour to be predicted from.

        Sampled softmax with shared samples and the logQ correction (Bengio and Senécal, 2008;
        Jean et al., 2015): each word competes with ``samples`` instead of the whole vocabulary.

        Args:
            ids: (B, T) right-padded word ids.
            lengths: (B,) how many ids of each text are real.
            samples: (S,) ids drawn in proportion to ``exp(log_expected)``.
            log_expected: (V,) log of each word's expected count among the samples.
        """
        forward_states, backward_states = self.reader(ids, lengths)
        steps = torch.arange(ids.size(1) - 1, device=ids.device)
        has_next = steps < lengths[:, None] - 1  # (B, T-1)
        current, following = ids[:, :-1][has_next], ids[:, 1:][has_next]  # (N,)
        from_left = self.state_dropout(forward_states)[:, :-1][has_next]  # (N, H)
        from_right = self.state_dropout(backward_states)[:, 1:][has_next]  # (N, H)
        states = torch.cat([from_left, from_right])  # (2N, H)
        targets = torch.cat([following, current])  # (2N,)

        target_vectors = self.reader.embedding(targets)  # (2N, E)
        target_scores = (states * target_vectors).sum(dim=1) + self.bias(targets).squeeze(1)
        target_scores = target_scores - log_expected[targets]  # (2N,)
        sample_scores = states @ self.reader.embedding(samples).T  # (2N, S)
        sample_scores = sample_scores + self.bias(samples).T - log_expected[samples]
        # A sample that happens to be the target would compete with itself.
        sample_scores = sample_scores.masked_fill(samples == targets[:, None], float("-inf"))
        scores = torch.cat([target_scores[:, None], sample_scores], dim=1)  # (2N, 1+S)
        losses: Tensor = scores.float().logsumexp(dim=1) - target_scores.float()  # (2N,)
        return losses.mean()
