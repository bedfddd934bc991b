"""The table of pairs under alignments that are held out: closed forms, shared matchings, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from support.compare_parts import mlp, random_subject, shuffled
from tombola.alignment.align import align_tensors
from tombola.comparison import overlay
from tombola.comparison.consensus import consensus
from tombola.comparison.nulls import layer_shuffle
from tombola.comparison.pairs import compare
from tombola.errors import UserError
from tombola.seeds import stream

WIDTHS = (30, 24, 16, 6)
DENSE = "weights@dense-held-out"
NETWORK = mlp(*WIDTHS)


def subjects():
    """Three replicates with two arms each: the ticket, and another mask over the same dense network."""
    tickets = [random_subject(seed, WIDTHS, 0.3) for seed in (1, 2, 3)]
    others = [
        replace(ticket, name=f"{ticket.name}x", arm="x", mask=random_subject(7 + i, WIDTHS, 0.3).mask)
        for i, ticket in enumerate(tickets)
    ]
    return [*tickets, *others]


def test_values_are_those_of_the_collage_and_chance_is_in_closed_form():
    a, b = subjects()[:2]
    frame = compare([a, b], network=NETWORK, measures=["jaccard", "sign-agreement"], alignments=[DENSE])
    assert set(frame["n_null"]) == {0}
    rng = stream(0, "compare", "align", DENSE, a.replicate, b.replicate)
    laid = NETWORK.collage(b, align_tensors(a, b, NETWORK, DENSE, "end", rng))
    for name in a.mask:
        both, either = ((a.mask[name] & laid.mask[name]).sum(), (a.mask[name] | laid.mask[name]).sum())
        [value] = frame.filter(measure="jaccard", layer=name)["value"]
        assert value == pytest.approx(float(both / either))
    raw = compare([a, replace(laid, name="laid")], measures=["jaccard"])
    numbers = ["value", "expected", "z", "p"]
    assert frame.filter(measure="jaccard").select(numbers).equals(raw.select(numbers))


@pytest.mark.parametrize("by", [DENSE, "signed-held-out"])
def test_the_closed_form_is_what_nulls_through_the_same_alignment_give(by):
    """Moments of the overlap in every layer, and of the network, against 300 shuffled copies."""
    a, b = subjects()[:2]
    closed = compare([a, b], network=NETWORK, measures=["kept-by-both"], alignments=[by])
    shuffled_too = compare(
        [a, b], network=NETWORK, measures=["weight-correlation"], nulls=["layer-shuffle"], alignments=[by], n_null=2
    )  # fmt: skip
    assert set(shuffled_too["n_null"]) == {2}  # what has no closed form is drawn, and laid over a again
    copies = []
    for draw in range(300):
        copy = layer_shuffle(b, stream("test", draw))
        copies.append(
            compare([a, copy], network=NETWORK, measures=["kept-by-both"], alignments=[by])["value"]
        )
    found = np.array(copies)
    deviation = ((closed["value"] - closed["expected"]) / closed["z"]).to_numpy()
    assert (np.abs(found.mean(0) - closed["expected"].to_numpy()) < 4 * deviation / 300**0.5).all()
    assert found.std(0, ddof=1) == pytest.approx(deviation, rel=0.17)  # 4 deviations of that of 300


def test_arms_of_two_replicates_share_a_matching_whoever_comes_first(monkeypatch):
    found = []
    aligned = overlay.align_tensors
    monkeypatch.setattr(overlay, "align_tensors", lambda *given: found.append(given[:2]) or aligned(*given))
    frame = compare(subjects(), network=NETWORK, measures=["jaccard"], alignments=[DENSE])
    assert len(found) == 6  # 3 pairs of replicates, and each replicate with itself
    x = pl.col("a").str.ends_with("x") & pl.col("b").str.ends_with("x")
    alone = compare(subjects()[3:], network=NETWORK, measures=["jaccard"], alignments=[DENSE])
    assert frame.filter(x).equals(alone)


def test_a_copy_in_another_order_is_found_to_be_the_same():
    ticket = random_subject(1, WIDTHS, 0.5)
    copy = replace(NETWORK.relabelled(ticket, shuffled(NETWORK, 2)), name="copy", replicate="RUN:r2")
    for by in (DENSE, "signed-held-out"):
        frame = compare(
            [ticket, copy], network=NETWORK, measures=["jaccard", "sign-agreement"], alignments=[by]
        )
        assert set(frame["value"]) == {1.0}


def test_what_reads_the_network_as_a_whole_is_refused_or_left_out_of_its_family():
    for measure in ("nnstd", "barrier"):
        with pytest.raises(
            UserError, match=f"'{measure}' reads the network as a whole, and alignment '{DENSE}'"
        ):
            compare(
                subjects()[:2],
                network=NETWORK,
                measures=[measure],
                alignments=["raw", DENSE],
                exam=lambda _: None,
            )
    frame = compare(
        subjects()[:2], network=NETWORK, measures=["topology"], alignments=["raw", DENSE], n_null=2
    ).filter(pl.col("b").is_not_null())
    assert set(frame.filter(aligned=DENSE)["measure"]) == {"input-map"}
    assert set(frame.filter(aligned="raw")["measure"]) == {"input-map", "nnstd"}


def test_consensus_of_collages_is_in_closed_form():
    tickets = subjects()[:3]
    copies = [
        replace(NETWORK.relabelled(tickets[0], shuffled(NETWORK, seed)), name=f"copy {seed}", replicate=f"RUN:r{seed}")
        for seed in (4, 5)
    ]  # fmt: skip
    frame = consensus([tickets[0], *copies], network=NETWORK, alignments=[DENSE])
    assert set(frame["n_null"]) == {0}
    assert set(frame["aligned"]) == {DENSE}
    [dispersion] = frame.filter(layer="all", quantity="dispersion")["value"]
    assert dispersion == pytest.approx(3)
