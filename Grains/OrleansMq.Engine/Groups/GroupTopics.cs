using System.Runtime.CompilerServices;
using OrleansMq.Clusters;
using OrleansMq.Topics;

namespace OrleansMq.Groups;

/// <summary>A topic as seen by groups.</summary>
/// <param name="Name">Its name.</param>
/// <param name="TopicId">Its id.</param>
/// <param name="Partitions">How many of its partitions are served.</param>
internal readonly record struct GroupTopic(string Name, Guid TopicId, int Partitions);

/// <summary>The served topics in an image of the cluster, and which members may describe them. Immutable.</summary>
internal sealed class GroupTopics
{
    // All groups of a broker share one view of an image, and so the comparison below, since thousands of groups see every leader change.
    private static readonly ConditionalWeakTable<ClusterImage, GroupTopics> OfImages = [];

    private readonly ClusterImage _image;
    private Comparison? _lastComparison;
    private GroupTopics? _lastSeen;

    private GroupTopics(ClusterImage image, ITopicSight? sight = null) => (_image, Sight) = (image, sight);

    /// <summary>The topics before the first image has arrived: none, which does not mean that none exist.</summary>
    public static GroupTopics Unknown { get; } = new(ClusterImage.Empty);

    /// <summary>Whether an image has arrived.</summary>
    public bool IsKnown => _image.Version > 0;

    /// <summary>The version of the image; 0 before the first.</summary>
    public long Version => _image.Version;

    /// <summary>Which topics members may describe; null: every member all of them.</summary>
    public ITopicSight? Sight { get; }

    /// <summary>All served topics, ordered by name (ordinal).</summary>
    public IEnumerable<GroupTopic> All
    {
        get
        {
            foreach (var name in _image.Names.Keys)
            {
                if (Find(name) is { } topic)
                    yield return topic;
            }
        }
    }

    /// <summary>Returns the topics of an image.</summary>
    /// <param name="image">The image.</param>
    /// <param name="sight">Which topics members may describe; null: every member all of them.</param>
    public static GroupTopics Of(ClusterImage image, ITopicSight? sight = null) =>
        image.Version > 0 ? AllOf(image).SeenBy(sight) : Unknown;

    /// <summary>Returns the topic of a name; null if none is served.</summary>
    public GroupTopic? Find(string name) => _image.FindServed(name) is { } topic ? new GroupTopic(topic.Name, topic.TopicId, topic.Serving)
        : null;

    /// <summary>Returns the topic of an id; null if none is served.</summary>
    public GroupTopic? Find(Guid topicId) =>
        _image.Topics.TryGetValue(topicId, out var topic) && Find(topic.Name) is { } found && found.TopicId == topicId ? found : null;

    /// <summary>Returns for each partition of a topic the racks of its replicas; null if no rack is known.</summary>
    public IReadOnlyList<IReadOnlyCollection<string>>? RacksOf(Guid topicId)
    {
        if (!_image.Topics.TryGetValue(topicId, out var topic) || _image.Brokers.Values.All(broker => broker.Registration.Rack is null))
            return null;
        return [.. topic.Partitions.Select(partition => (IReadOnlyCollection<string>)
            [.. partition.Replicas.Select(id => _image.Brokers.TryGetValue(id, out var broker) ? broker.Registration.Rack : null)
                .OfType<string>().Distinct()])];
    }

    /// <summary>Whether a topic is known to be deleted. A missing id alone does not prove that: the image may be too old to contain
    /// it.</summary>
    public bool IsDeleted(Guid topicId) => _image.Deleted.Contains(topicId);

    /// <summary>Whether a newer topic has taken a name. Ids contain their creation time: if the given id is newer than the topic in the
    /// image, the image does not contain it yet, and nothing is replaced.</summary>
    public bool IsReplaced(string name, Guid topicId) =>
        Find(name) is { } topic && topic.TopicId != topicId && !TopicIds.IsNewer(topicId, topic.TopicId);

    /// <summary>Whether two images are the same for groups, which ignore changes of leaders and replicas, and seen by the same
    /// rules.</summary>
    public bool IsSameAs(GroupTopics other)
    {
        if (!ReferenceEquals(Sight, other.Sight))
            return false;
        if (ReferenceEquals(_image, other._image))
            return true;
        if (_lastComparison is not { } comparison || !comparison.IsWith(other._image))
            _lastComparison = comparison = new Comparison(new WeakReference<ClusterImage>(other._image), IsKnown == other.IsKnown
                && ReferenceEquals(_image.Deleted, other._image.Deleted)
                && (ReferenceEquals(_image.Topics, other._image.Topics) || All.SequenceEqual(other.All)));
        return comparison.IsSame;
    }

    /// <summary>Returns the same topics, seen by other rules.</summary>
    public GroupTopics SeenBy(ITopicSight? sight)
    {
        if (ReferenceEquals(sight, Sight))
            return this;
        var topics = Sight is null ? this : AllOf(_image);
        // One for all groups of a broker.
        var seen = topics._lastSeen;
        return sight is null ? topics : seen is not null && ReferenceEquals(seen.Sight, sight) ? seen
            : topics._lastSeen = new GroupTopics(_image, sight);
    }

    private static GroupTopics AllOf(ClusterImage image) => OfImages.GetValue(image, static known => new GroupTopics(known));

    // A weak reference, since each image would otherwise keep all earlier ones alive.
    private sealed record Comparison(WeakReference<ClusterImage> Other, bool IsSame)
    {
        public bool IsWith(ClusterImage image) => Other.TryGetTarget(out var other) && ReferenceEquals(other, image);
    }
}
