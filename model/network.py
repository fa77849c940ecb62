"""The network: word embeddings, two LSTMs that read the text from either end, one linear layer.

An LSTM (Hochreiter and Schmidhuber, 1997; forget gate after Gers et al., 2000) reads word by word
and carries a memory along. Its input gate decides how much of a word enters that memory, its forget
gate how much of the memory stays, its output gate how much of it shows. That is how a 不 early in a
sentence can still count at its end; docs/why-lstm.md compares it with a plain RNN.

Letters in the shapes: B texts, T tokens of the longest, E embedding size, H hidden size, L labels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.config import NetworkConfig
from model.text.signs import sign_name
from model.text.vocabulary import PADDING_ID, UNKNOWN_ID


def reverse_inside_length(states: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each sequence inside its own length; its padding stays at the end.

    Packing would do the same, but leaves the CPU's fast LSTM kernel and costs 2.5 times as much.

    Args:
        states: (B, T, ...) right-padded sequences.
        lengths: (B,) number of real steps of each.
    """
    steps = torch.arange(states.size(1), device=states.device)  # (T,)
    mirrored = lengths[:, None] - 1 - steps  # (B, T)
    index = torch.where(mirrored >= 0, mirrored, steps)  # (B, T)
    return states[torch.arange(states.size(0), device=states.device)[:, None], index]


class LockedDropout(nn.Module):
    """Drops the same features at every step (Gal and Ghahramani, 2016)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, states: Tensor) -> Tensor:
        """Map (B, T, E) to (B, T, E)."""
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
        # Sparse gradients: a batch holds a few thousand words, not all of them.
        self.embedding = nn.Embedding(vocabulary_size, size, padding_idx=PADDING_ID, sparse=True)
        nn.init.normal_(self.embedding.weight, std=size**-0.5)
        with torch.no_grad():
            self.embedding.weight[PADDING_ID].zero_()
        self.input_dropout = LockedDropout(config.input_dropout)
        self.forward_lstm = nn.LSTM(size, hidden, batch_first=True)
        self.backward_lstm = nn.LSTM(size, hidden, batch_first=True)

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states of both directions, each at the word just read.

        Args:
            ids: (B, T) right-padded word ids.
            lengths: (B,) number of real ids of each text.

        Returns:
            (B, T, H) forward and (B, T, H) backward states.
        """
        return self.read(self.embedding(ids), lengths)

    def read(self, vectors: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Do as ``forward``, from word vectors (B, T, E) instead of ids."""
        vectors = self.input_dropout(vectors)
        forward_states, _ = self.forward_lstm(vectors)  # (B, T, H)
        mirrored, _ = self.backward_lstm(reverse_inside_length(vectors, lengths))  # (B, T, H)
        return forward_states, reverse_inside_length(mirrored, lengths)


class SentimentNetwork(nn.Module):
    """Maps a batch of texts to one logit per label.

    The states of all words are pooled in three ways: by attention (Yang et al., 2016), maximum and
    mean. No padding reaches a state or a pool, so a text gets the same logits alone and in a batch.
    """

    def __init__(self, vocabulary_size: int, labels: int, config: NetworkConfig) -> None:
        super().__init__()
        self.reader = BidirectionalReader(vocabulary_size, config)
        width = 2 * config.hidden_size
        self.attention = nn.Linear(width, 1)
        self.output_dropout = nn.Dropout(config.output_dropout)
        self.output = nn.Linear(3 * width, labels)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (B, L).

        Args:
            ids: (B, T) right-padded word ids.
            lengths: (B,) number of real ids of each text, at least 1.
        """
        forward_states, backward_states = self.reader(ids, lengths)
        return self.classify(forward_states, backward_states, lengths)

    def classify(self, forward_states: Tensor, backward_states: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (B, L) from the reader's (B, T, H) states."""
        states = torch.cat([forward_states, backward_states], dim=2)  # (B, T, 2H)
        steps = torch.arange(states.size(1), device=states.device)
        padding = (steps >= lengths[:, None])[:, :, None]  # (B, T, 1)

        scores = self.attention(states).masked_fill(padding, float("-inf"))  # (B, T, 1)
        attended = (states * scores.softmax(dim=1)).sum(dim=1)  # (B, 2H)
        highest = states.masked_fill(padding, float("-inf")).amax(dim=1)  # (B, 2H)
        mean = states.masked_fill(padding, 0.0).sum(dim=1) / lengths[:, None]  # (B, 2H)
        pooled = torch.cat([attended, highest, mean.to(highest.dtype)], dim=1)  # (B, 6H)
        logits: Tensor = self.output(self.output_dropout(pooled))  # (B, L)
        return logits


class WordVectors(nn.Module):
    """One vector per word: its own plus the mean of its characters' (Chen et al., 2015).

    A rare word so starts from what its characters mean in frequent words, and an emoji or emoticon
    from the characters of its name.
    """

    _MAX_CHARACTERS = 6

    def __init__(self, words: Sequence[str], size: int) -> None:
        super().__init__()
        spelled = [sign_name(word) or word for word in words[UNKNOWN_ID + 1 :]]
        known = sorted({character for word in spelled for character in word})
        rows = {character: row for row, character in enumerate(known, start=1)}
        characters = torch.zeros(len(words), self._MAX_CHARACTERS, dtype=torch.long)
        for index, word in enumerate(spelled, start=UNKNOWN_ID + 1):
            for place, character in enumerate(word[: self._MAX_CHARACTERS]):
                characters[index, place] = rows[character]
        self.spelling: Tensor  # (V, C) rows of each word's characters, 0 after the last
        self.register_buffer("spelling", characters, persistent=False)
        # Sparse gradients: a batch holds a few thousand words, not all of them.
        self.words = nn.Embedding(len(words), size, padding_idx=PADDING_ID, sparse=True)
        self.characters = nn.Embedding(len(known) + 1, size, padding_idx=0, sparse=True)
        for embedding in (self.words, self.characters):
            nn.init.normal_(embedding.weight, std=size**-0.5)
            with torch.no_grad():
                embedding.weight[0].zero_()

    def forward(self, ids: Tensor) -> Tensor:
        """Map (N,) ids to (N, E)."""
        spelling = self.spelling[ids]  # (N, C)
        lengths = (spelling > 0).sum(dim=1, keepdim=True).clamp_min(1)  # (N, 1)
        of_characters = self.characters(spelling).sum(dim=1) / lengths  # (N, E)
        vectors: Tensor = self.words(ids) + of_characters
        return vectors


class LanguageModel(nn.Module):
    """Predicts the next word from the left and the previous one from the right.

    Its reader is then the classifier's: pre-trained on unlabelled text, it starts with an idea of
    the language (Dai and Le, 2015; Howard and Ruder, 2018). Input and output vectors are the same
    (Press and Wolf, 2017); states of another size are projected to theirs.
    """

    def __init__(self, words: Sequence[str], config: NetworkConfig) -> None:
        super().__init__()
        self.vectors = WordVectors(words, config.embedding_size)
        self.reader = BidirectionalReader(len(words), config)
        self.reader.embedding.requires_grad_(False)  # replaced by `vectors`
        self.bias = nn.Embedding(len(words), 1, sparse=True)
        nn.init.zeros_(self.bias.weight)
        self.state_dropout = LockedDropout(config.input_dropout)
        size, hidden = config.embedding_size, config.hidden_size
        self.forward_projection, self.backward_projection = (
            nn.Identity() if size == hidden else nn.Linear(hidden, size, bias=False)
            for _ in range(2)
        )

    def forward(
        self, ids: Tensor, lengths: Tensor, samples: Tensor, log_expected: Tensor
    ) -> Tensor:
        """Return the mean loss over all words that have a neighbour to be predicted from.

        Sampled softmax with shared samples and the logQ correction (Bengio and Senécal, 2008;
        Jean et al., 2015): each word competes with ``samples`` instead of the whole vocabulary.

        Args:
            ids: (B, T) right-padded word ids.
            lengths: (B,) number of real ids of each text.
            samples: (S,) distinct ids.
            log_expected: (V,) log probability of each word being among the samples.
        """
        # Compute each distinct word's vector once, however often it occurs in the batch.
        distinct, places = torch.cat([ids.flatten(), samples]).unique(return_inverse=True)
        vectors = self.vectors(distinct)  # (U, E)
        places, sample_places = places[: ids.numel()].view_as(ids), places[ids.numel() :]
        forward_states, backward_states = self.reader.read(
            functional.embedding(places, vectors), lengths
        )

        steps = torch.arange(ids.size(1) - 1, device=ids.device)
        has_next = steps < lengths[:, None] - 1  # (B, T-1)
        current, following = places[:, :-1][has_next], places[:, 1:][has_next]  # (N,)
        from_left = self.state_dropout(forward_states)[:, :-1][has_next]  # (N, H)
        from_right = self.state_dropout(backward_states)[:, 1:][has_next]  # (N, H)
        states = torch.cat(
            [self.forward_projection(from_left), self.backward_projection(from_right)]
        )  # (2N, E)
        targets = torch.cat([following, current])  # (2N,)

        offsets = self.bias(distinct).squeeze(1) - log_expected[distinct]  # (U,)
        target_scores = (states * functional.embedding(targets, vectors)).sum(
            dim=1
        ).float() + offsets[targets]  # (2N,)
        sample_scores = torch.addmm(
            offsets[sample_places], states, vectors[sample_places].T
        )  # (2N, S)
        # A sample that happens to be the target would compete with itself.
        column = torch.full((len(distinct),), -1, device=ids.device)
        column[sample_places] = torch.arange(len(samples), device=ids.device)
        clash = (column[targets] >= 0).nonzero().squeeze(1)
        minus_infinity = sample_scores.new_tensor(float("-inf"))
        sample_scores = sample_scores.index_put((clash, column[targets][clash]), minus_infinity)
        total = torch.logaddexp(sample_scores.logsumexp(dim=1).float(), target_scores)  # (2N,)
        loss: Tensor = (total - target_scores).mean()
        return loss

    def trained_reader(self) -> dict[str, Tensor]:
        """Return the reader's weights, with each word's trained sum as its vector."""
        with torch.no_grad():
            ids = torch.arange(self.vectors.words.num_embeddings, device=self.bias.weight.device)
            table = torch.cat([self.vectors(part) for part in ids.split(4096)])
        return {**self.reader.state_dict(), "embedding.weight": table}
