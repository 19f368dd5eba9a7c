"""Slow, obvious drizzling: polygons, an explicit matrix, an explicit covariance."""

import math

import numpy as np


def _clip(polygon, inside, cross):
    """One step of Sutherland & Hodgman's polygon clipping."""
    out = []
    for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if inside(a):
            out.append(a)
            if not inside(b):
                out.append(cross(a, b))
        elif inside(b):
            out.append(cross(a, b))
    return out


def overlap(corners, ox, oy):
    """Area of a polygon inside the unit pixel (ox, oy)."""
    polygon = list(corners)
    for axis, edge, sign in (
        (0, ox - 0.5, 1),
        (0, ox + 0.5, -1),
        (1, oy - 0.5, 1),
        (1, oy + 0.5, -1),
    ):
        if not polygon:
            return 0.0

        def inside(p, axis=axis, edge=edge, sign=sign):
            return sign * (p[axis] - edge) >= 0

        def cross(a, b, axis=axis, edge=edge):
            t = (edge - a[axis]) / (b[axis] - a[axis])
            return (a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]))

        polygon = _clip(polygon, inside, cross)
    area = 0.0
    for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        area += a[0] * b[1] - b[0] * a[1]
    return abs(area) / 2.0


def matrix(project, shape, out_shape):
    """Overlaps (output pixel, input pixel) for a map `project(x, y) -> (x, y)`."""
    ny, nx = shape
    my, mx = out_shape
    areas = np.zeros((my * mx, ny * nx))
    for y in range(ny):
        for x in range(nx):
            corners = [
                tuple(float(v) for v in project(x + dx, y + dy))
                for dx, dy in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
            ]
            xs, ys = zip(*corners, strict=True)
            for oy in range(max(0, math.floor(min(ys))), min(my - 1, math.ceil(max(ys))) + 1):
                for ox in range(max(0, math.floor(min(xs))), min(mx - 1, math.ceil(max(xs))) + 1):
                    areas[oy * mx + ox, y * nx + x] = overlap(corners, ox, oy)
    return areas


def mean_correlation(covariance, shape, half):
    """Mean over pixels of the correlation with each neighbour, from the full covariance."""
    my, mx = shape
    sigma = np.sqrt(np.diag(covariance))
    total = np.zeros((2 * half + 1, 2 * half + 1))
    for y in range(my):
        for x in range(mx):
            for dy in range(-half, half + 1):
                for dx in range(-half, half + 1):
                    v, u = y + dy, x + dx
                    i, j = y * mx + x, v * mx + u
                    if 0 <= v < my and 0 <= u < mx and sigma[i] > 0 and sigma[j] > 0:
                        total[half + dy, half + dx] += covariance[i, j] / sigma[i] / sigma[j]
    return total / total[half, half]


def aperture_sigma(var, kernel, y, x, radius, fine=41):
    """Error of an aperture sum by a double loop; overlaps by counting points of a fine grid."""
    ny, nx = var.shape
    points = (np.arange(fine) + 0.5) / fine - 0.5
    weights = {}
    for j in range(ny):
        for i in range(nx):
            dy, dx = j + points[:, None] - y, i + points[None, :] - x
            share = float(np.mean(dy**2 + dx**2 <= radius**2))
            if share:
                weights[j, i] = share
    half = kernel.shape[0] // 2
    total = 0.0
    for (j, i), a in weights.items():
        for (v, u), b in weights.items():
            if abs(v - j) <= half and abs(u - i) <= half:
                rho = kernel[half + v - j, half + u - i]
                total += a * b * rho * math.sqrt(var[j, i] * var[v, u])
    return math.sqrt(total)
