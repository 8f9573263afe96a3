"""Spectrograms of a batch of waveforms, on the batch's device."""

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

from ..errors import InputError

# Sounds whose spectra are made together on a CPU: those of a whole batch do not fit into its cache.
_AT_ONCE = 16


class LogSpectrogram(nn.Module):
    """ln(max(|STFT|, floor)): [B, 1, N] -> [B, 1, n_fft/2 + 1, N / hop].

    The STFT uses a periodic Hann window of `window` samples, centred in `n_fft` and centred on
    the multiples of `hop`, with the waveform mirrored at its ends. Frame k so stands for the
    time k * hop / rate; the one that would lie just behind the end is dropped, so one second
    at a hop of 5 ms gives exactly 200 frames.

    Args:
        n_fft: samples of one Fourier transform; bin f is f * rate / n_fft Hz.
        window: samples of the window, at most n_fft.
        hop: samples from one frame to the next.
        floor: least magnitude, so that silence stays finite. A waveform g times as loud is
            ln g higher wherever it lies above the floor.
    """

    def __init__(self, *, n_fft: int, window: int, hop: int, floor: float = 1e-5):
        super().__init__()
        self.n_fft, self.hop, self.floor = n_fft, hop, floor
        # In the middle of the transform, as torch.stft puts it.
        before = (n_fft - window) // 2
        taper = F.pad(torch.hann_window(window), (before, n_fft - window - before))
        self.register_buffer("taper", taper, persistent=False)

    def power(self, x: Tensor) -> Tensor:
        """|STFT|², [B, n_fft/2 + 1, N / hop].

        Raises:
            InputError: at most n_fft/2 samples, which cannot be mirrored at their ends.
        """
        half = self.n_fft // 2
        if x.shape[-1] <= half:
            raise InputError(
                f"{x.shape[-1]} samples are too few for a spectrogram; give at least {half + 1}"
            )
        # Half precision has no Fourier transform on CPUs and too few digits for a logarithm.
        x = x.flatten(0, 1).float()
        # What F.pad(mode="reflect") gives, in a quarter of its time.
        ends = x[:, 1 : half + 1].flip(1), x[:, -half - 1 : -1].flip(1)
        mirrored = torch.cat([ends[0], x, ends[1]], 1)
        frames = mirrored.unfold(-1, self.n_fft, self.hop)[:, : max(x.shape[-1] // self.hop, 1)]
        spectrum = torch.fft.rfft(frames * self.get_buffer("taper"))
        # Measured on a CPU: with torch.stft and abs() the whole of LogMel takes twice as long.
        return spectrum.real.square().addcmul(spectrum.imag, spectrum.imag).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.power(x).clamp(min=self.floor**2).log().mul(0.5).unsqueeze(1)


class LogMel(nn.Module):
    """ln(max(M |STFT|², floor)): [B, 1, N] -> [B, 1, mels, N / hop].

    M holds triangular filters of unit height, evenly spaced on the HTK mel scale
    2595 log10(1 + f/700) from `low` Hz to half the rate. The window is 25 ms, the hop 10 ms, and
    the Fourier transform as long as the next power of two.

    Args:
        rate: Hz of the waveform.
        mels: number of filters.
        low: Hz of the lowest filter's lower edge.
        floor: least energy, so that silence stays finite. A waveform g times as loud is 2 ln g
            higher wherever it lies above the floor.
    """

    def __init__(self, *, rate: int, mels: int = 64, low: float = 50.0, floor: float = 1e-8):
        super().__init__()
        window, hop = round(0.025 * rate), round(0.010 * rate)
        n_fft = 1 << (window - 1).bit_length()
        self.floor = floor
        self.spectrum = LogSpectrogram(n_fft=n_fft, window=window, hop=hop)
        filters = torchaudio.functional.melscale_fbanks(
            n_fft // 2 + 1, low, rate / 2, mels, rate, norm=None, mel_scale="htk"
        )
        self.register_buffer("filters", filters.T.contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            parts = x.split(_AT_ONCE) if x.device.type == "cpu" else (x,)
            energy = torch.cat([self.get_buffer("filters") @ self.spectrum.power(p) for p in parts])
            return energy.clamp(min=self.floor).log().unsqueeze(1)


class MFCC(nn.Module):
    """Mel-frequency cepstral coefficients: [B, 1, N] -> [B, 1, count, N / hop].

    The first `count` coefficients of the orthonormal cosine transform (DCT-II) of `LogMel` along
    its filters (Davis & Mermelstein 1980, IEEE TASSP 28(4)). The energies' logarithm is natural,
    not in decibels. A waveform g times as loud has a first coefficient 2 √mels ln g higher, and
    the same others.

    Args:
        rate: Hz of the waveform.
        count: number of coefficients, at most `mels`.
        mels: number of mel filters.
        low: Hz of the lowest filter's lower edge.
        floor: least energy of a filter.

    Raises:
        InputError: more coefficients than filters, or none.
    """

    def __init__(
        self,
        *,
        rate: int,
        count: int = 20,
        mels: int = 64,
        low: float = 50.0,
        floor: float = 1e-8,
    ):
        super().__init__()
        if not 1 <= count <= mels:
            raise InputError(f"{mels} mel filters give 1 to {mels} coefficients, not {count}")
        self.log_mel = LogMel(rate=rate, mels=mels, low=low, floor=floor)
        basis = torchaudio.functional.create_dct(count, mels, norm="ortho")
        self.register_buffer("basis", basis.T.contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.get_buffer("basis") @ self.log_mel(x)
