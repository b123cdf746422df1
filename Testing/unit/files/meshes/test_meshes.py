"""Files of surfaces: read back by VTK (STL, OBJ), and glTF by the words of its standard."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import geometries, masks

from DeepSegmentLib.data import Geometry, Segment
from DeepSegmentLib.files.meshes import material_path, write_glb, write_obj, write_stl
from DeepSegmentLib.imaging.surfaces.mesh import make_mesh, normals, smoothed

GRID = Geometry.from_spacing((4, 5, 6), (2, 1, 1.5))
LIVER, VEIN = Segment("Liver, right", 1, (255, 128, 0)), Segment("Vein", 2, (0, 0, 255))


def _meshes():
    mask = np.zeros(GRID.shape, bool)
    mask[1:3, 1:4, 2:5] = True
    small = np.zeros(GRID.shape, bool)
    small[0, 0, 0] = True
    return {LIVER: smoothed(make_mesh(mask, GRID), 3), VEIN: make_mesh(small, GRID)}


def _stl(path):
    content = path.read_bytes()
    (count,) = struct.unpack_from("<I", content, 80)
    triangles = np.frombuffer(content, np.dtype([("n", "<f4", 3), ("c", "<f4", (3, 3)), ("a", "<u2")]), offset=84)
    assert len(triangles) == count
    return content[:80], triangles


def _glb(path):
    content = path.read_bytes()
    magic, version, length, json_length, json_kind = struct.unpack_from("<4sIII4s", content)
    assert (magic, version, length, json_kind) == (b"glTF", 2, len(content), b"JSON")
    document = json.loads(content[20 : 20 + json_length])
    binary_length, binary_kind = struct.unpack_from("<I4s", content, 20 + json_length)
    assert (json_length % 4, binary_length % 4, binary_kind) == (0, 0, b"BIN\0")
    assert document["buffers"] == [{"byteLength": binary_length}]
    return document, content[28 + json_length :]


def _array(document, binary, number):
    accessor = document["accessors"][number]
    view = document["bufferViews"][accessor["bufferView"]]
    part = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    array = np.frombuffer(part, {5126: "<f4", 5125: "<u4"}[accessor["componentType"]])
    return array.reshape(accessor["count"], {"VEC3": 3, "SCALAR": 1}[accessor["type"]]), accessor


class TestStl:
    @settings(max_examples=15)
    @given(masks(filled=True), st.data())
    def test_it_holds_the_triangles_in_lps_and_says_so(self, tmp_path_factory, mask, data):
        mesh = make_mesh(mask, data.draw(geometries(st.just(mask.shape))))
        path = tmp_path_factory.mktemp("stl") / "a.stl"
        write_stl(mesh, path)
        header, triangles = _stl(path)
        assert b"SPACE=LPS" in header
        assert not header.startswith(b"solid")
        corners = mesh.points_ras[mesh.triangles]
        assert np.allclose(triangles["c"] * (-1, -1, 1), corners, atol=1e-3)
        turned = np.cross(triangles["c"][:, 1] - triangles["c"][:, 0], triangles["c"][:, 2] - triangles["c"][:, 0])
        assert (np.einsum("ij,ij->i", turned, triangles["n"]) > 0).all()

    def test_vtk_reads_it(self, tmp_path):
        vtk = pytest.importorskip("vtk")
        mesh = _meshes()[LIVER]
        write_stl(mesh, tmp_path / "a.stl")
        reader = vtk.vtkSTLReader()
        reader.SetFileName(str(tmp_path / "a.stl"))
        assert _volume_and_edges(vtk, reader) == (pytest.approx(mesh.volume_mm3, rel=1e-4), 0)


def _volume_and_edges(vtk, reader):
    """What VTK finds enclosed, and how many edges belong to one triangle or to more than two."""
    properties, edges = vtk.vtkMassProperties(), vtk.vtkFeatureEdges()
    for each in (properties, edges):
        each.SetInputConnection(reader.GetOutputPort())
    edges.FeatureEdgesOff()
    edges.ManifoldEdgesOff()
    edges.Update()
    return properties.GetVolume(), edges.GetOutput().GetNumberOfCells()


class TestObj:
    def test_vtk_reads_it(self, tmp_path):
        vtk = pytest.importorskip("vtk")
        meshes = _meshes()
        write_obj(meshes, tmp_path / "a.obj")
        reader = vtk.vtkOBJReader()
        reader.SetFileName(str(tmp_path / "a.obj"))
        total = sum(mesh.volume_mm3 for mesh in meshes.values())
        assert _volume_and_edges(vtk, reader) == (pytest.approx(total, rel=1e-3), 0)
        assert "SPACE=LPS" in reader.GetComment()
        left, right = reader.GetOutput().GetBounds()[:2]
        points = np.concatenate([mesh.points_ras for mesh in meshes.values()])
        assert (-right, -left) == pytest.approx((points[:, 0].min(), points[:, 0].max()), abs=1e-3)

    def test_objects_have_the_colours_of_their_segments(self, tmp_path):
        write_obj(_meshes(), tmp_path / "a.obj")
        lines = (tmp_path / "a.obj").read_text().splitlines()
        assert lines[1] == "mtllib a.mtl"
        assert [line for line in lines if line.startswith(("o ", "usemtl "))] == [
            "o liver--right", "usemtl liver--right", "o vein", "usemtl vein",
        ]  # fmt: skip
        colours = [line for line in material_path(tmp_path / "a.obj").read_text().splitlines() if line[:2] == "Kd"]
        assert colours == ["Kd 1.0000 0.5020 0.0000", "Kd 0.0000 0.0000 1.0000"]


class TestGltf:
    def test_it_holds_what_its_standard_wants(self, tmp_path):
        meshes = _meshes()
        write_glb(meshes, tmp_path / "a.glb")
        document, binary = _glb(tmp_path / "a.glb")
        assert document["asset"]["version"] == "2.0"
        assert [node["name"] for node in document["nodes"]] == ["Liver, right", "Vein"]
        assert document["scenes"][document["scene"]]["nodes"] == [0, 1]
        for node, mesh in zip(document["nodes"], meshes.values(), strict=True):
            (primitive,) = document["meshes"][node["mesh"]]["primitives"]
            points, accessor = _array(document, binary, primitive["attributes"]["POSITION"])
            assert (accessor["min"], accessor["max"]) == (points.min(axis=0).tolist(), points.max(axis=0).tolist())
            # metres; y is the patient's up, z the front, and so x the left
            assert np.allclose(points * 1000, np.stack([-1, 1, 1] * mesh.points_ras[:, [0, 2, 1]]), atol=1e-3)
            directions, _ = _array(document, binary, primitive["attributes"]["NORMAL"])
            assert np.allclose(directions, [-1, 1, 1] * normals(mesh)[:, [0, 2, 1]], atol=1e-6)
            indices, _ = _array(document, binary, primitive["indices"])
            assert np.array_equal(indices.reshape(-1, 3), mesh.triangles)

    def test_colours_are_linear(self, tmp_path):
        write_glb(_meshes(), tmp_path / "a.glb")
        document, _ = _glb(tmp_path / "a.glb")
        factors = [each["pbrMetallicRoughness"]["baseColorFactor"] for each in document["materials"]]
        assert factors[0] == pytest.approx([1, 0.215861, 0, 1], abs=1e-6)  # 128 of 255 in sRGB
        assert factors[1] == [0, 0, 1, 1]

    def test_vtk_reads_it(self, tmp_path):
        vtk = pytest.importorskip("vtk")
        meshes = _meshes()
        write_glb(meshes, tmp_path / "a.glb")
        reader = vtk.vtkGLTFReader()
        reader.SetFileName(str(tmp_path / "a.glb"))
        reader.Update()
        found = []
        iterator = reader.GetOutput().NewIterator()
        while not iterator.IsDoneWithTraversal():
            properties = vtk.vtkMassProperties()
            properties.SetInputData(iterator.GetCurrentDataObject())
            found.append(properties.GetVolume() * 1e9)
            iterator.GoToNextItem()
        assert found == [pytest.approx(mesh.volume_mm3, rel=1e-3) for mesh in meshes.values()]
