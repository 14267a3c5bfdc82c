"""Muon: what its steps make of matrices and kernels."""

import pytest
import torch
from torch.testing import assert_close

from core.training.muon import Muon, orthogonalize, orthogonalize_bf16


def test_muon_brings_all_singular_values_near_one_and_keeps_the_directions() -> None:
    matrix = torch.randn((2, 12, 30), generator=torch.Generator().manual_seed(0))
    given = [*matrix, *matrix.mT]
    for one, found in zip(given, orthogonalize(given), strict=True):
        u, _, v = torch.linalg.svd(one, full_matrices=False)
        values = (u.mT @ found @ v.mT).diagonal()
        assert values.min() > 0.6
        assert values.max() < 1.3
    assert orthogonalize([torch.zeros(3, 3)])[0].abs().max() == 0


@pytest.mark.parametrize("shape", [(12, 12), (12, 30), (30, 12), (64, 576)])
def test_muon_s_steps_are_the_polynomial_of_each_singular_value(shape: tuple[int, int]) -> None:
    matrix = torch.randn((2, *shape), generator=torch.Generator().manual_seed(0))
    u, values, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    values = values / matrix.double().norm(dim=(-2, -1))[:, None]
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    found = torch.stack(orthogonalize([*matrix]))
    assert_close(found.double(), u * values[:, None] @ v, rtol=0, atol=1e-4)


def test_muon_treats_each_matrix_as_if_it_were_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(12, 12), (12, 30), (30, 12), (8, 12), (64, 12), (12, 31)]
    matrices = [torch.randn(shape, generator=generator) for shape in shapes]
    for matrix, found in zip(matrices, orthogonalize(matrices), strict=True):
        assert_close(found, orthogonalize([matrix])[0], rtol=0, atol=1e-5)


def test_muon_s_step_of_a_kernel_does_not_depend_on_its_memory_format() -> None:
    gradient = torch.randn((8, 4, 3, 3), generator=torch.Generator().manual_seed(0))
    stepped = []
    for layout in (torch.contiguous_format, torch.channels_last):
        kernel = torch.nn.Parameter(torch.ones(8, 4, 3, 3).to(memory_format=layout))
        kernel.grad = gradient.to(memory_format=layout)
        Muon([kernel], lr=0.1, weight_decay=0.01).step()
        stepped.append(kernel.detach())
    assert torch.equal(*stepped)


def test_muon_steps_down_the_gradient_with_a_root_mean_square_of_a_fifth_of_the_rate() -> None:
    kernel = torch.nn.Parameter(torch.zeros(8, 4, 3, 3))
    kernel.grad = torch.randn(kernel.shape, generator=torch.Generator().manual_seed(0))
    Muon([kernel], lr=0.1).step()
    assert (kernel.detach() * kernel.grad).sum() < 0
    assert kernel.detach().square().mean().sqrt().item() == pytest.approx(0.02, rel=0.2)


def test_in_bfloat16_muon_is_the_same_to_about_two_digits_and_never_larger() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(64, 576), (64, 576), (576, 64), (64, 64), (12, 30)]
    for spread in (0.0, 2.0, 6.0):
        matrices = []
        for shape in shapes:
            u, _, v = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
            matrices.append(u * torch.logspace(0, -spread, min(shape)) @ v)
        for matrix, exact, found in zip(
            matrices, orthogonalize(matrices), orthogonalize_bf16(matrices), strict=True
        ):
            assert found.dtype == torch.float32
            assert found.shape == matrix.shape
            assert torch.linalg.matrix_norm(found, 2) < 1.3
            if spread <= 2.0:
                assert (found - exact).norm() < 0.05 * exact.norm()
    assert orthogonalize_bf16([torch.zeros(3, 3)])[0].abs().max() == 0


@pytest.mark.parametrize("bf16", [False, True])
def test_muon_orthogonalizes_in_bfloat16_only_if_it_is_told_to(bf16: bool) -> None:
    kernel = torch.nn.Parameter(torch.zeros(8, 4, 3, 3))
    kernel.grad = torch.randn(kernel.shape, generator=torch.Generator().manual_seed(0))
    Muon([kernel], lr=0.1, bf16=bf16).step()
    steps = {
        name: -0.02 * 36**0.5 * work([kernel.grad.movedim(1, -1).reshape(8, -1)])[0]
        for name, work in {"fp32": orthogonalize, "bf16": orthogonalize_bf16}.items()
    }
    moved = kernel.detach().movedim(1, -1).reshape(8, -1)
    assert_close(moved, steps["bf16" if bf16 else "fp32"], rtol=0, atol=1e-5)
    assert (moved - steps["fp32" if bf16 else "bf16"]).abs().max() > 1e-5
