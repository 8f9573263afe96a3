"""Networks from one modality to vectors; one interface."""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .alexnet import AlexNet as AlexNet
    from .alexnet import NetworkInNetwork as NetworkInNetwork
    from .audio import AudioResNet as AudioResNet
    from .audio import SpectrogramCNN as SpectrogramCNN
    from .audio import TimmAudio as TimmAudio
    from .audio import TinyAudio as TinyAudio
    from .audio_transformer import AudioTransformer as AudioTransformer
    from .by_name import encoder_by_name as encoder_by_name
    from .by_name import encoder_tree as encoder_tree
    from .cnn14 import CNN14 as CNN14
    from .encoder import Encoder as Encoder
    from .encoder import Level as Level
    from .flow import FlowResNet as FlowResNet
    from .flow import TinyFlow as TinyFlow
    from .image import L3Image as L3Image
    from .image import TimmImage as TimmImage
    from .image import TinyImage as TinyImage
    from .image import TorchvisionImage as TorchvisionImage
    from .inflation import InflatedVideo as InflatedVideo
    from .inflation import inflate as inflate
    from .store import check_storable as check_storable
    from .store import load_encoder as load_encoder
    from .store import save_encoder as save_encoder
    from .text import TextTransformer as TextTransformer
    from .video import TinyVideo as TinyVideo
    from .video import TorchvisionVideo as TorchvisionVideo
    from .video_resnet import X3D as X3D
    from .video_resnet import SlowOnly as SlowOnly
    from .video_transformer import VideoTransformer as VideoTransformer

_HOMES = {
    "alexnet": ("AlexNet", "NetworkInNetwork"),
    "audio": ("AudioResNet", "SpectrogramCNN", "TimmAudio", "TinyAudio"),
    "audio_transformer": ("AudioTransformer",),
    "by_name": ("encoder_by_name", "encoder_tree"),
    "cnn14": ("CNN14",),
    "encoder": ("Encoder", "Level"),
    "flow": ("FlowResNet", "TinyFlow"),
    "image": ("L3Image", "TimmImage", "TinyImage", "TorchvisionImage"),
    "inflation": ("InflatedVideo", "inflate"),
    "store": ("check_storable", "load_encoder", "save_encoder"),
    "text": ("TextTransformer",),
    "video": ("TinyVideo", "TorchvisionVideo"),
    "video_resnet": ("SlowOnly", "X3D"),
    "video_transformer": ("VideoTransformer",),
}

__all__ = [
    "CNN14",
    "X3D",
    "AlexNet",
    "AudioResNet",
    "AudioTransformer",
    "Encoder",
    "FlowResNet",
    "InflatedVideo",
    "L3Image",
    "Level",
    "NetworkInNetwork",
    "SlowOnly",
    "SpectrogramCNN",
    "TextTransformer",
    "TimmAudio",
    "TimmImage",
    "TinyAudio",
    "TinyFlow",
    "TinyImage",
    "TinyVideo",
    "TorchvisionImage",
    "TorchvisionVideo",
    "VideoTransformer",
    "check_storable",
    "encoder_by_name",
    "encoder_tree",
    "inflate",
    "load_encoder",
    "save_encoder",
]

__getattr__ = lazy(__name__, {name: home for home, names in _HOMES.items() for name in names})
