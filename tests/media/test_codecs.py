"""The codecs against libavcodec as a peer, and Opus's repairs by measure."""

from __future__ import annotations

import contextlib

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.media.clip import resample
from bridge.media.codecs import CodecError, EncoderSettings, by_name
from bridge.media.codecs.g711 import PCMA, PCMU, SILENCE, power
from bridge.media.codecs.g722 import G722Decoder, G722Encoder, G722Level
from bridge.media.codecs.l16 import MONO
from bridge.media.codecs.opus import (
    DEFAULT_BITRATE,
    OpusDecoder,
    OpusEncoder,
    packet_has_fec,
    packet_ticks,
    packets_have_fec,
)

LAWS = {"pcm_mulaw": PCMU, "pcm_alaw": PCMA}
SEGMENTS = [
    (PCMU, 4, [31, 95, 223, 479, 991, 2015, 4063]),  # G.711 table 2a, of 14 bits
    (PCMA, 8, [64, 128, 256, 512, 1024, 2048]),  # table 1a, of 13 bits
]


def av_decode(codec: str, data: bytes, rate: int) -> np.ndarray:
    context = av.CodecContext.create(codec, "r")
    context.layout, context.sample_rate = "mono", rate
    return np.concatenate([frame.to_ndarray()[0] for frame in context.decode(av.Packet(data))])


def av_encode(codec: str, pcm: np.ndarray, rate: int) -> bytes:
    context = av.CodecContext.create(codec, "w")
    context.layout, context.sample_rate, context.format = "mono", rate, "s16"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm)[None], format="s16", layout="mono")
    frame.sample_rate = rate
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))


def sine(hertz: float, rate: int, seconds: float, level: float = 8000) -> np.ndarray:
    return np.rint(level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.int16)


def snr(clean: np.ndarray, coded: np.ndarray, *, shift: int = 0) -> float:
    """dB; ``shift``: samples that the codec delays."""
    clean, coded = clean[: len(clean) - shift].astype(float), coded[shift : len(clean)].astype(float)
    size = min(len(clean), len(coded))
    return float(10 * np.log10((clean[:size] ** 2).sum() / ((clean[:size] - coded[:size]) ** 2).sum()))


def best_snr(clean: np.ndarray, coded: np.ndarray, most: int) -> float:
    return max(snr(clean, coded, shift=n) for n in range(most))


# ---------------------------------------------------------------------------------------- G.711


@pytest.mark.parametrize("name", LAWS)
def test_every_code_is_decoded_as_libavcodec_does(name: str) -> None:
    codes = np.arange(256, dtype=np.uint8)
    assert np.array_equal(LAWS[name].decode_rows(codes[None])[0], av_decode(name, codes.tobytes(), 8000))


@pytest.mark.parametrize("name", LAWS)
def test_samples_are_encoded_as_libavcodec_does_but_on_the_borders_of_two_levels(name: str) -> None:
    pcm, law = np.arange(-32768, 32768).astype(np.int16), LAWS[name]
    ours = law.encode_rows(pcm[None])
    theirs = np.frombuffer(av_encode(name, pcm, 8000), np.uint8)[None]
    levels = np.unique(law.decode_table.astype(int))
    borders = (levels[1:] + levels[:-1]) / 2
    differ = pcm[(ours != theirs)[0]]
    assert len(differ) < 0.05 * 65536
    # libavcodec takes the nearer level also where the step doubles, and there is up to a quarter step beside the border
    assert np.abs(differ[:, None] - borders).min(axis=1).max() <= 128


@pytest.mark.parametrize(("law", "unit", "edges"), SEGMENTS)
def test_the_step_doubles_at_the_decision_values_of_the_recommendation(law, unit: int, edges: list[int]) -> None:
    at = unit * np.array(edges)
    below, above = (law.decode_rows(law.encode_rows(x.astype(np.int16)[None]))[0] for x in (at - 1, at))
    steps = above.astype(int) - below
    assert (np.diff(np.log2(steps)) == 1).all()
    assert (below < at).all()
    assert (above > at).all()


@pytest.mark.parametrize("name", LAWS)
def test_codes_come_out_as_they_went_in(name: str) -> None:
    codes = np.arange(256, dtype=np.uint8)[None]
    law = LAWS[name]
    again = law.encode_rows(law.decode_rows(codes))
    assert np.array_equal(law.decode_rows(again), law.decode_rows(codes))  # mu-law has two zeros


@pytest.mark.parametrize("law", [PCMU, PCMA])
def test_zero_is_the_silent_code(law) -> None:
    assert law.encode_rows(np.zeros((1, 4), np.int16)).tolist() == [[SILENCE[law.law]] * 4]


@pytest.mark.parametrize("law", [PCMU, PCMA])
@given(st.integers(1, 5), st.integers(0, 61), st.integers(0, 2**32 - 1))
def test_many_rows_are_coded_as_each_alone(law, rows: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    payload = rng.integers(0, 256, (rows, size)).astype(np.uint8)
    together = law.decode_rows(payload)
    assert all(np.array_equal(together[n], law.decode_rows(payload[n : n + 1])[0]) for n in range(rows))
    pcm = rng.integers(-32768, 32768, (rows, size)).astype(np.int16)
    together = law.encode_rows(pcm)
    assert all(np.array_equal(together[n], law.encode_rows(pcm[n : n + 1])[0]) for n in range(rows))


@pytest.mark.parametrize("law", [PCMU, PCMA])
def test_the_power_of_codes_is_that_of_their_samples(law, speech: np.ndarray) -> None:
    pcm = resample(speech[: 16000 * 10], 16000, 8000)
    codes = law.encode_rows(pcm[: len(pcm) // 160 * 160].reshape(-1, 160))
    exact = (law.decode_rows(codes).astype(float) ** 2).mean(axis=1)
    assert np.allclose(law.power(codes, stride=1), exact, rtol=1e-3)
    loud = exact > 1e5
    error = 10 * np.log10(power(codes, law.law)[loud] / exact[loud])
    assert np.median(np.abs(error)) < 1.0
    assert law.power(codes[:, :0]).tolist() == [0] * len(codes)


# ---------------------------------------------------------------------------------------- G.722


@pytest.mark.parametrize("packet", [160, 320, 480, 640, 960])
def test_g722_is_bit_exact_with_libavcodec_both_ways(packet: int, speech: np.ndarray) -> None:
    pcm = speech[: 16000 * 3 // packet * packet]
    encoder, decoder = G722Encoder(), G722Decoder()
    payloads = [encoder.encode(part) for part in pcm.reshape(-1, packet)]
    assert {len(payload) for payload in payloads} == {packet // 2}
    whole = b"".join(payloads)
    assert whole == av_encode("g722", pcm, 16000)
    ours = np.concatenate([decoder.decode(payload) for payload in payloads])
    assert np.array_equal(ours, av_decode("g722", whole, 16000))


def test_g722_keeps_speech_and_wide_tones(speech: np.ndarray) -> None:
    for pcm, least in ((speech[: 16000 * 10], 13.0), (sine(1000, 16000, 1.0), 25.0), (sine(6000, 16000, 1.0), 12.0)):
        coded = G722Decoder().decode(G722Encoder().encode(pcm[: len(pcm) // 160 * 160]))
        assert best_snr(pcm[: len(coded)], coded, 40) > least


def test_g722_takes_whole_tens_of_milliseconds() -> None:
    with pytest.raises(ValueError, match="10 ms"):
        G722Encoder().encode(np.zeros(150, np.int16))
    with pytest.raises(CodecError):
        G722Decoder().decode(b"")


@given(st.binary(min_size=1, max_size=400))
def test_any_bytes_are_g722(payload: bytes) -> None:
    assert len(G722Decoder().decode(payload)) == 2 * len(payload)


def test_g722_levels_follow_the_voice_without_decoding(speech: np.ndarray) -> None:
    pcm = speech[: 16000 * 20 // 320 * 320]
    payload = np.frombuffer(G722Encoder().encode(pcm), np.uint8).reshape(-1, 160)
    exact = (pcm.reshape(-1, 320).astype(float) ** 2).mean(axis=1)
    level = G722Level(2)
    told = np.concatenate([level.levels(np.array([1]), block[None]) for block in payload])
    loud = exact > 1e5
    assert np.median(np.abs(10 * np.log10(np.maximum(told[loud], 1) / exact[loud]))) < 4.0
    quiet = G722Level(1)
    zeros = np.frombuffer(G722Encoder().encode(np.zeros(320 * 20, np.int16)), np.uint8).reshape(-1, 160)
    last = [quiet.levels(np.array([0]), block[None])[0] for block in zeros][-1]
    assert last < 32768**2 * 1e-6


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_g722_levels_of_many_rows_are_those_of_each(rows: int, seed: int) -> None:
    payload = np.random.default_rng(seed).integers(0, 256, (3, rows, 160)).astype(np.uint8)
    together, alone = G722Level(rows), G722Level(rows)
    for block in payload:
        levels = together.levels(np.arange(rows), block)
        for row in range(rows):
            assert alone.levels(np.array([row]), block[row : row + 1])[0] == pytest.approx(levels[row], rel=1e-5)


# ------------------------------------------------------------------------------------------ L16


@given(st.integers(0, 2**32 - 1), st.integers(0, 50))
def test_l16_is_exact(seed: int, size: int) -> None:
    pcm = np.random.default_rng(seed).integers(-32768, 32768, (3, size)).astype(np.int16)
    assert np.array_equal(MONO.decode_rows(MONO.encode_rows(pcm)), pcm)
    assert MONO.encode_rows(np.array([[258]], np.int16)).tolist() == [[1, 2]]


def test_half_a_sample_of_l16_is_ignored() -> None:
    assert MONO.decode_rows(np.array([[1, 2, 3]], np.uint8)).tolist() == [[258]]


# ----------------------------------------------------------------------------------------- Opus


def opus(speech: np.ndarray, seconds: int = 10, **settings) -> tuple[np.ndarray, OpusEncoder]:
    """(blocks, 960) of speech at 48 kHz, and an encoder."""
    pcm = resample(speech[: 16000 * seconds], 16000, 48000)
    return pcm[: len(pcm) // 960 * 960].reshape(-1, 960), OpusEncoder(EncoderSettings(**settings))


def loud(blocks: np.ndarray) -> np.ndarray:
    return (blocks.astype(float) ** 2).mean(axis=1) > 1e5


def distance(one: np.ndarray, two: np.ndarray) -> float:
    """Mean difference of log spectra of blocks, dB, up to 4 kHz."""
    window = np.hanning(one.shape[1])
    spectra = [10 * np.log10(np.abs(np.fft.rfft(x * window, axis=1))[:, :80] ** 2 + 1e6) for x in (one, two)]
    return float(np.abs(spectra[0] - spectra[1]).mean())


def test_opus_keeps_speech_through_another_decoder(speech: np.ndarray) -> None:
    blocks, encoder = opus(speech)
    decoder, other = OpusDecoder(), av.CodecContext.create("libopus", "r")
    other.layout, other.sample_rate, other.format = "mono", 48000, "s16"
    ours, theirs = [], []
    for block in blocks:
        payload = encoder.encode(block)
        ours.append(decoder.decode(payload))
        theirs += [frame.to_ndarray()[0] for frame in other.decode(av.Packet(payload))]
    one, two = np.concatenate(ours), np.concatenate(theirs)
    skipped = len(one) - len(two)  # libavcodec leaves the encoder's look-ahead out
    assert 0 <= skipped <= 400
    assert snr(two, one[skipped:]) > 30 if not np.array_equal(one[skipped:], two) else True


def recovered(blocks: np.ndarray, encoder: OpusEncoder, lost: np.ndarray, how: str) -> np.ndarray:
    encoder.adapt(0.1, None)
    payloads = [encoder.encode(block) for block in blocks]
    decoder, out = OpusDecoder(), []
    for n, payload in enumerate(payloads):
        if not lost[n]:
            out.append(decoder.decode(payload))
        elif how == "fec" and n + 1 < len(payloads) and not lost[n + 1]:
            out.append(decoder.recover(payloads[n + 1], 960))
        elif how == "silence":
            decoder.conceal(960)
            out.append(np.zeros(960, np.int16))
        else:
            out.append(decoder.conceal(960))
    return np.stack(out)


def test_fec_recovers_better_than_concealment_and_that_is_better_than_silence(speech: np.ndarray) -> None:
    blocks, _ = opus(speech, 30)
    lost = np.random.default_rng(1).random(len(blocks)) < 0.1
    lost[:5] = False
    results = {}
    for how in ("fec", "conceal", "silence"):
        encoder = OpusEncoder(EncoderSettings(fec=True))
        clean = recovered(blocks, OpusEncoder(EncoderSettings(fec=True)), np.zeros(len(blocks), bool), how)
        at = lost & loud(clean)
        results[how] = distance(clean[at], recovered(blocks, encoder, lost, how)[at])
    assert results["fec"] < 0.75 * results["conceal"]
    assert results["conceal"] < 0.6 * results["silence"]


@pytest.mark.parametrize("bitrate", [24000, 32000, 64000])
def test_where_there_is_any_loss_there_is_fec_and_it_is_seen_in_the_packets(bitrate: int, speech: np.ndarray) -> None:
    blocks, _ = opus(speech, 10)
    for loss, told in ((0.0, False), (0.02, True), (0.2, True)):
        encoder = OpusEncoder(EncoderSettings(fec=True, bitrate=bitrate))
        encoder.adapt(loss, None)
        payloads = [encoder.encode(block) for block in blocks]
        sizes = np.array([len(payload) for payload in payloads], np.int32)
        pool = np.frombuffer(b"".join(payloads) + b"\0", np.uint8)
        seen = packets_have_fec(pool, np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes)
        assert seen[loud(blocks)].mean() > 0.9 if told else not seen.any()


def test_recovery_without_fec_in_the_next_packet_is_concealment(speech: np.ndarray) -> None:
    blocks, encoder = opus(speech, 2, bitrate=128000)
    payloads = [encoder.encode(block) for block in blocks]
    decoder = OpusDecoder()
    decoder.decode(payloads[20])
    assert len(decoder.recover(payloads[22], 960)) == 960
    assert len(decoder.recover(b"", 960)) == 960
    assert not packet_has_fec(b"")


@pytest.mark.parametrize("samples", [480, 960, 1000, 1920, 2880, 5760])
def test_any_length_is_concealed(samples: int) -> None:
    assert len(OpusDecoder().conceal(samples)) == samples


def test_dtx_sends_nothing_in_silence_where_the_peer_allows_it(speech: np.ndarray) -> None:
    for dtx in (True, False):
        encoder = OpusEncoder(EncoderSettings(dtx=dtx))
        sizes = [len(encoder.encode(np.zeros(960, np.int16))) for _ in range(100)]
        assert (sizes[50:].count(0) > 40) is dtx
    blocks, encoder = opus(speech, 10, dtx=True)
    sizes = np.array([len(encoder.encode(block)) for block in blocks])
    assert (sizes[loud(blocks)] > 0).mean() > 0.98


def test_the_bit_rate_follows_loss_and_the_peers_limit(speech: np.ndarray) -> None:
    blocks, _ = opus(speech, 10)

    def rate(loss: float, limit: int | None = None, **settings) -> float:
        encoder = OpusEncoder(EncoderSettings(**settings))
        encoder.adapt(loss, limit)
        return 50 * 8 * float(np.mean([len(encoder.encode(block)) for block in blocks]))

    clean, lossy, congested = (rate(loss, fec=True) for loss in (0.0, 0.05, 0.3))
    assert clean < 1.2 * DEFAULT_BITRATE
    assert lossy > 1.1 * clean
    assert congested < lossy
    assert rate(0.0, bitrate=16000) < 19000
    assert rate(0.0, limit=12000) < 15000


def test_the_peers_bandwidth_is_kept_to() -> None:
    pcm = sine(7000, 48000, 1.0).reshape(-1, 960)
    for limit, heard in ((8000, False), (48000, True)):
        encoder, decoder = OpusEncoder(EncoderSettings(max_rate=limit, bitrate=64000)), OpusDecoder()
        out = np.concatenate([decoder.decode(encoder.encode(block)) for block in pcm])[24000:].astype(float)
        assert bool(np.sqrt(np.mean(out**2)) > 2000) is heard


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_opus_is_decoded_at_any_rate(rate: int) -> None:
    encoder, decoder = OpusEncoder(EncoderSettings()), OpusDecoder(rate)
    out = np.concatenate([decoder.decode(encoder.encode(block)) for block in sine(440, 48000, 1.0).reshape(-1, 960)])
    assert len(out) == rate
    assert np.abs(np.fft.rfft(out)).argmax() == 440


@pytest.mark.parametrize("ms", [10, 20, 40, 60])
def test_packet_times_are_read_from_the_first_byte(ms: int) -> None:
    payload = OpusEncoder(EncoderSettings()).encode(np.zeros(48 * ms, np.int16))
    pool = np.frombuffer(b"\0\0" + payload + b"\0" * 8, np.uint8)
    assert packet_ticks(pool, np.array([2]), np.array([len(payload)], np.int32)).tolist() == [48 * ms]


@given(st.binary(min_size=1, max_size=80))
def test_what_the_first_bytes_say_is_what_libopus_decodes(payload: bytes) -> None:
    pool = np.frombuffer(payload + b"\0" * 4, np.uint8)
    ticks = int(packet_ticks(pool, np.array([0]), np.array([len(payload)], np.int32))[0])
    decoder = OpusDecoder()
    with contextlib.suppress(CodecError):
        assert len(decoder.decode(payload)) == ticks
    decoder.recover(payload, 960)
    assert len(decoder.conceal(960)) == 960


def test_frames_that_opus_has_not_are_refused() -> None:
    with pytest.raises(ValueError, match="no Opus frame"):
        OpusEncoder(EncoderSettings()).encode(np.zeros(1000, np.int16))


def test_closing_twice_is_no_harm() -> None:
    for made in (OpusEncoder(EncoderSettings()), OpusDecoder(), G722Encoder(), G722Decoder()):
        made.close()
        made.close()


def test_a_reset_decoder_has_no_past() -> None:
    encoder = OpusEncoder(EncoderSettings())
    payloads = [encoder.encode(block) for block in sine(440, 48000, 0.2).reshape(-1, 960)]
    fresh, used = OpusDecoder(), OpusDecoder()
    for payload in payloads:
        used.decode(payload)
    used.reset()
    assert np.array_equal(used.decode(payloads[0]), fresh.decode(payloads[0]))


# -------------------------------------------------------------------------------------- formats


def test_codecs_are_found_as_sdp_names_them() -> None:
    assert by_name("pcmu", 8000).samples(20) == 160
    assert by_name("G722", 8000).samples(20) == 320
    assert by_name("G722", 8000).ticks(20) == 160
    assert by_name("opus", 48000).channels == 2
    with pytest.raises(LookupError):
        by_name("GSM", 8000)


@pytest.mark.parametrize("hertz", [50, 90])
def test_a_deep_voice_is_not_filtered_a_second_time(hertz: int) -> None:
    """The talker's phone has filtered it, where it wanted to."""
    encoder, decoder = OpusEncoder(EncoderSettings()), OpusDecoder()
    pcm = sine(hertz, 48000, 1.0)
    out = np.concatenate([decoder.decode(encoder.encode(block)) for block in pcm.reshape(-1, 960)])
    level = [float(np.sqrt(np.mean(sound[24000:].astype(float) ** 2))) for sound in (pcm, out)]
    assert abs(level[1] / level[0] - 1) < 0.03
