"""InputSpec: what can be no input is refused when it is said, not when it is read."""

import pytest

from pretexto.errors import InputError
from pretexto.modalities.input_spec import InputSpec


@pytest.mark.parametrize("modality", ["image", "video", "flow"])
@pytest.mark.parametrize(("size", "frames"), [(32, 0), (0, 1)])
def test_pictures_have_a_size_and_frames(modality, size, frames):
    with pytest.raises(InputError, match="are 1 or more"):
        InputSpec(modality, size, frames)
