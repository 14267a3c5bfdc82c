"""Degradations against explicit matrices, scipy and Pillow."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from core.diffusion.restoration.operators import AveragePool, GaussianBlur, Identity, Jpeg, Mask
from core.errors import UserError

SIZE = 8
KNOWN = (torch.rand((1, 1, SIZE, SIZE), generator=torch.Generator().manual_seed(0)) > 0.4).float()
LINEAR = {
    "identity": Identity(),
    "mask": Mask(KNOWN),
    "pool": AveragePool(2),
    "blur": GaussianBlur(0.6, SIZE),
}


@pytest.fixture(params=LINEAR, scope="module")
def operator(request):
    return LINEAR[request.param]


def matrix(operator):
    basis = torch.eye(SIZE * SIZE).view(-1, 1, SIZE, SIZE)
    return operator.forward(basis).flatten(start_dim=1).T.double().numpy()


def test_the_inverse_is_the_pseudo_inverse_of_the_matrix(operator):
    A = matrix(operator)
    rows = torch.eye(len(A)).view(-1, 1, *operator.forward(torch.zeros(1, 1, SIZE, SIZE)).shape[2:])
    found = operator.inverse(rows).flatten(start_dim=1).T.numpy()
    np.testing.assert_allclose(found, np.linalg.pinv(A), atol=2e-3)


@pytest.mark.parametrize("ratio", [0.01, 2.0])
def test_with_noise_it_is_the_adjoint_after_the_regularised_inverse(operator, ratio):
    A = matrix(operator)
    rows = torch.eye(len(A)).view(-1, 1, *operator.forward(torch.zeros(1, 1, SIZE, SIZE)).shape[2:])
    found = operator.inverse(rows, ratio).flatten(start_dim=1).T.numpy()
    # Missing pixels are zero in y; what the inverse makes of anything else there does not matter.
    expected = A.T @ np.linalg.inv(A @ A.T + ratio * np.eye(len(A)))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_blur_is_that_of_scipy():
    x = torch.rand((2, 1, 16, 16), generator=torch.Generator().manual_seed(1))
    found = GaussianBlur(1.3, 16).forward(x).numpy()
    expected = gaussian_filter(x.numpy(), (0, 0, 1.3, 1.3), mode="reflect", truncate=4.0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("quality", [10, 50, 90])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_that_of_pillow_but_for_rounding_to_levels(quality, channels):
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 196, (5, 5, channels)).astype(np.uint8)
    image = np.asarray(Image.fromarray(coarse.squeeze()).resize((19, 19), Image.Resampling.BICUBIC))
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
    expected = np.asarray(Image.open(buffer), dtype=np.float64).reshape(19, 19, channels)
    x = torch.from_numpy(image.reshape(19, 19, channels).transpose(2, 0, 1)[None] / 127.5 - 1.0)
    found = (Jpeg(quality).forward(x.float())[0].permute(1, 2, 0).numpy() + 1.0) * 127.5
    # Coefficients half way between two steps may be rounded to either, which changes their block.
    assert np.median(np.abs(found - expected)) < (0.35 if channels == 1 else 0.8)
    assert np.abs(found - expected).max() < 20


def test_coding_twice_changes_nothing():
    x = torch.rand((2, 1, 16, 16), generator=torch.Generator().manual_seed(2)) * 2 - 1
    once = Jpeg(20).forward(x)
    torch.testing.assert_close(Jpeg(20).forward(once), once, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Jpeg(0), "from 1 to 100, got 0"),
        (lambda: GaussianBlur(0.0, 8), "more than 0 pixels"),
        (lambda: AveragePool(3).forward(torch.zeros(1, 1, 8, 8)), "divides images of 8x8, got 3"),
    ],
)
def test_impossible_degradations_are_refused(make, text):
    with pytest.raises(UserError, match=text):
        make()
