"""GradRollout against an explicit two-block computation; each error of the known implementation has its test."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadRequest
from fundoscope.photo.recipe import Recipe
from fundoscope.training.attribution.capture import Grid, as_maps, captured_attention, token_grid
from fundoscope.training.attribution.explain import Method, explain
from fundoscope.training.attribution.rollout import grad_rollout, last_attention, patches, rollout
from fundoscope.training.attribution.targets import Target, score
from fundoscope.training.experiment.sections import Network
from fundoscope.training.networks.clip import CLIP
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import Normalise

SMALL = {"depth": 2, "embed_dim": 24, "num_heads": 3}
NORMALISE = Normalise(Recipe(side=64))


def transformer(name: str = "vit_tiny_patch16_224", side: int = 64, **more) -> GradingNetwork:
    torch.manual_seed(0)
    settings = {"backbone": name, "size": SMALL, "head": "coral"} | more
    net = GradingNetwork(Network(**settings), side=side).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return net


def heads_and_gradients(net: GradingNetwork, pictures: torch.Tensor) -> tuple[list, list]:
    """Attentions and their gradients, each block computed by hand from its own weights."""
    backbone = net.backbone
    tokens = backbone.patch_drop(backbone._pos_embed(backbone.patch_embed(pictures)))
    tokens = backbone.norm_pre(tokens).detach().requires_grad_()
    attentions = []
    for block in backbone.blocks:
        read = block.norm1(tokens)
        photos, count, width = read.shape
        part = block.attn.qkv(read).reshape(photos, count, 3, block.attn.num_heads, -1).permute(2, 0, 3, 1, 4)
        asked, known, values = part
        attention = (asked @ known.transpose(-2, -1) / asked.shape[-1] ** 0.5).softmax(dim=-1)
        attentions.append(attention)
        mixed = (attention @ values).transpose(1, 2).reshape(photos, count, width)
        tokens = tokens + block.attn.proj(mixed)
        tokens = tokens + block.mlp(block.norm2(tokens))
    raw = net.head(backbone.forward_head(backbone.norm(tokens), pre_logits=True))
    gradients = torch.autograd.grad(score(net.head, raw, Target()).sum(), attentions)
    return [each.detach().double().numpy() for each in attentions], [each.double().numpy() for each in gradients]


def by_hand(attentions: list[np.ndarray], gradients: list[np.ndarray], prefix: int, rows: int, columns: int):
    """The definition with loops over photographs and rows: what the class token draws from each patch."""
    maps = []
    for photo in range(len(attentions[0])):
        reach = None
        for attention, gradient in zip(attentions, gradients, strict=True):
            joined = np.maximum((attention[photo] * gradient[photo]).mean(axis=0), 0)
            mixed = (joined + np.eye(len(joined))) / 2
            for row in range(len(mixed)):
                mixed[row] = mixed[row] / mixed[row].sum()
            reach = mixed if reach is None else mixed @ reach
        maps.append(reach[0, prefix:].reshape(rows, columns))
    return np.array(maps)


@pytest.fixture
def canvases() -> torch.Tensor:
    return torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


def test_grad_rollout_is_the_explicit_computation_over_two_blocks(canvases: torch.Tensor):
    net = transformer(pool="class_token")

    given = explain([net], NORMALISE, canvases, Method(name="grad-rollout")).map

    attentions, gradients = heads_and_gradients(net, NORMALISE(canvases))
    expected = by_hand(attentions, gradients, 1, 4, 4)
    np.testing.assert_allclose(given.numpy(), expected, rtol=1e-3, atol=1e-8)
    assert expected.std() > 0


def test_the_gradients_of_another_block_give_another_map(canvases: torch.Tensor):
    """vit-explain #6 pairs the first block's attention with the last block's gradient."""
    attentions, gradients = heads_and_gradients(transformer(pool="class_token"), NORMALISE(canvases))
    right = [torch.from_numpy(each) for each in attentions], [torch.from_numpy(each) for each in gradients]

    wrong = grad_rollout(right[0], right[1][::-1])

    reach = grad_rollout(*right)
    assert not torch.allclose(reach, wrong, rtol=1e-3)
    backwards = grad_rollout(right[0][::-1], right[1][::-1])
    assert not torch.allclose(reach, backwards, rtol=1e-3), "the product over blocks has an order"
    expected = by_hand(attentions, gradients, 1, 4, 4)
    np.testing.assert_allclose(patches(reach, Grid(1, 4, 4), "class_token"), expected, rtol=1e-6)


def test_what_reaches_a_token_sums_to_one():
    """vit-explain divides by the sums of columns for want of keepdim."""
    torch.manual_seed(0)
    attentions = [torch.randn(2, 3, 7, 7).softmax(dim=-1) for _ in range(3)]
    gradients = [torch.randn(2, 3, 7, 7) for _ in range(3)]

    for reach in (
        rollout(attentions),
        grad_rollout(attentions, gradients),
        grad_rollout(attentions, gradients, discard=0.9),
    ):
        torch.testing.assert_close(reach.sum(dim=-1), torch.ones(2, 7))
        assert (reach >= 0).all()


def test_a_transformer_with_registers_leaves_all_of_them_out():
    """vit-explain drops one token; DINOv2 with registers and RETFound-Green have five before the patches."""
    grid = Grid(5, 2, 3)
    reach = torch.zeros(1, 11, 11)
    reach[0, 0, 5:] = torch.arange(6.0)
    reach[0, 0, :5] = 100.0

    assert patches(reach, grid, "class_token")[0].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    reach[0, :5, 5:] = 50.0
    reach[0, 5:, 5:] = torch.arange(6.0)
    assert patches(reach, grid, "mean")[0].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_registers_of_a_real_network_are_found(canvases: torch.Tensor):
    net = transformer("vit_small_patch14_reg4_dinov2", side=56)

    small = canvases[:, :56, :56]
    assert explain([net], Normalise(Recipe(side=56)), small, Method(name="grad-rollout")).grid == (4, 4)
    with captured_attention(net.backbone) as attentions:
        net.backbone(NORMALISE(small))
    assert attentions[0].shape[-1] == 1 + 4 + 16


def test_a_grid_that_is_not_square_keeps_rows_and_columns_apart():
    net = transformer("vit_small_patch14_reg4_dinov2", size=SMALL | {"dynamic_img_size": True}, side=56)
    wide = torch.randn(1, 3, 28, 70)

    grid = token_grid(net.backbone, wide)

    assert grid == Grid(5, 2, 5)
    tokens = torch.arange(15.0)[None, :, None]
    assert as_maps(tokens, grid, "")[0, 0].tolist() == [[5.0, 6.0, 7.0, 8.0, 9.0], [10.0, 11.0, 12.0, 13.0, 14.0]]
    with captured_attention(net.backbone) as attentions:
        net.backbone(wide)
    assert patches(rollout(attentions), grid, "class_token").shape == (1, 2, 5)


def test_attention_is_collected_in_the_order_of_the_blocks_and_left_fused(canvases: torch.Tensor):
    net = transformer()
    fused = [block.attn.fused_attn for block in net.backbone.blocks]
    with captured_attention(net.backbone) as attentions, torch.inference_mode():
        watched = net(NORMALISE(canvases)).raw
        for block in reversed(net.backbone.blocks):
            block.attn.attn_drop(torch.zeros(1))  # hooks called in any order
        net(NORMALISE(canvases))

    with torch.inference_mode():
        torch.testing.assert_close(net(NORMALISE(canvases)).raw, watched, rtol=1e-4, atol=1e-5)
    assert [block.attn.fused_attn for block in net.backbone.blocks] == fused
    assert len(attentions) == 2
    torch.testing.assert_close(attentions[0].sum(dim=-1), torch.ones_like(attentions[0].sum(dim=-1)))
    expected, _ = heads_and_gradients(net, NORMALISE(canvases))
    for given, wanted in zip(attentions, expected, strict=True):
        np.testing.assert_allclose(given.numpy(), wanted, rtol=1e-3, atol=1e-5)


def test_discarding_keeps_a_token_s_attention_to_itself():
    torch.manual_seed(0)
    attention, gradient = torch.rand(1, 1, 6, 6), torch.rand(1, 1, 6, 6)

    joined = grad_rollout([attention], [gradient], discard=0.9)[0]

    assert (joined.diagonal() > 0.5).all()
    assert (joined == 0).sum() >= int(6 * 6 * 0.9) - 6
    assert torch.equal(grad_rollout([attention], [gradient], discard=0.0), grad_rollout([attention], [gradient]))


def test_clip_s_attention_is_its_own_and_its_answers_stay(canvases: torch.Tensor):
    pytest.importorskip("open_clip", reason="needs the train extra")
    torch.manual_seed(0)
    size = {"layers": 2, "width": 32, "heads": 2, "patch_size": 16, "output_dim": 16}
    net = GradingNetwork(Network(backbone=CLIP, size=size, head="prototype"), side=64).eval()
    pictures = NORMALISE(canvases)
    with torch.inference_mode():
        before = net(pictures).raw
        with captured_attention(net.backbone) as attentions:
            watched = net(pictures).raw
        after = net(pictures).raw

    torch.testing.assert_close(watched, before, rtol=1e-4, atol=1e-5)
    assert torch.equal(after, before)
    assert attentions[0].shape == (2, 2, 17, 17)
    for name in ("last-attention", "grad-rollout", "grad-cam"):
        given = explain([net], NORMALISE, canvases, Method(name=name, target=Target("grade", 3)))
        assert given.grid == (4, 4)
        assert given.map.max() > 0


def test_the_last_block_alone_is_read_against_the_prototype():
    attentions = [torch.rand(1, 2, 3, 3) for _ in range(2)]
    gradients = [torch.randn(1, 2, 3, 3) for _ in range(2)]

    given = last_attention(attentions, gradients)

    torch.testing.assert_close(
        given[0], ((attentions[1] * gradients[1])[0, 0] + (attentions[1] * gradients[1])[0, 1]).relu() / 2
    )


def test_networks_without_attention_to_all_tokens_are_refused(canvases: torch.Tensor):
    net = GradingNetwork(Network(backbone="cnn3"), side=64).eval()

    with pytest.raises(BadRequest, match=r"expected a vision transformer.*got ThreeConvolutions"):
        explain([net], NORMALISE, canvases, Method(name="grad-rollout"))
