using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>A <see cref="DescribeGroup"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.DescribeGroup.1")]
internal struct DescribeGroupSurrogate
{
    [Id(0)] public string GroupId;
}

[RegisterConverter]
internal sealed class DescribeGroupConverter : IConverter<DescribeGroup, DescribeGroupSurrogate>
{
    public DescribeGroup ConvertFromSurrogate(in DescribeGroupSurrogate surrogate) => new(surrogate.GroupId);

    public DescribeGroupSurrogate ConvertToSurrogate(in DescribeGroup value) => new() { GroupId = value.GroupId };
}

/// <summary>A <see cref="ListGroup"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ListGroup.1")]
internal struct ListGroupSurrogate
{
    [Id(0)] public string GroupId;
}

[RegisterConverter]
internal sealed class ListGroupConverter : IConverter<ListGroup, ListGroupSurrogate>
{
    public ListGroup ConvertFromSurrogate(in ListGroupSurrogate surrogate) => new(surrogate.GroupId);

    public ListGroupSurrogate ConvertToSurrogate(in ListGroup value) => new() { GroupId = value.GroupId };
}

/// <summary>A <see cref="DeleteGroup"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.DeleteGroup.1")]
internal struct DeleteGroupSurrogate
{
    [Id(0)] public string GroupId;
}

[RegisterConverter]
internal sealed class DeleteGroupConverter : IConverter<DeleteGroup, DeleteGroupSurrogate>
{
    public DeleteGroup ConvertFromSurrogate(in DeleteGroupSurrogate surrogate) => new(surrogate.GroupId);

    public DeleteGroupSurrogate ConvertToSurrogate(in DeleteGroup value) => new() { GroupId = value.GroupId };
}
