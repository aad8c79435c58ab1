using System.Collections.Immutable;
using OrleansMq.Clusters;
using OrleansMq.Groups;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Groups.Consumer;

/// <summary>An image of some topics, which can be added, deleted and grown.</summary>
internal sealed class TestTopics
{
    private ClusterImage _image = ClusterImage.Empty with { Version = 1 };
    private int _lastId;

    /// <summary>Whether ids tell which topic was created later, as those of real topics do.</summary>
    public bool HasTimeOrderedIds { get; init; }

    public GroupTopics Topics => GroupTopics.Of(_image);

    public ClusterImage Image => _image;

    public string NameOf(Guid topicId) => _image.Topics.TryGetValue(topicId, out var topic) ? topic.Name : "deleted";

    public void Set(string name, int partitions)
    {
        var id = _image.TryGetTopic(name, out var topic) ? topic.TopicId
            : new Guid(++_lastId, 0, (short)(HasTimeOrderedIds ? 0x7000 : 0), new byte[8]);
        _image = (_image with { Version = _image.Version + 1 }).WithTopic(new ImageTopic(name, id, TopicStatus.Active, 1,
            ImmutableSortedDictionary<string, string>.Empty, [.. Enumerable.Repeat(ImagePartition.Create([1]), partitions)], partitions));
    }

    public void Delete(string name) =>
        _image =
        (_image with { Version = _image.Version + 1, Deleted = _image.Deleted.Add(_image.Names[name]) }).WithoutTopic(_image.Names[name]);
}
