using System.Runtime.CompilerServices;
using OrleansMq.Clusters;

namespace OrleansMq.Groups;

/// <summary>A topic as groups see it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="TopicId">Its id.</param>
/// <param name="Partitions">How many of its partitions are served.</param>
public readonly record struct GroupTopic(string Name, Guid TopicId, int Partitions);

/// <summary>The topics that are served, as an image of the cluster says. Never changed, only replaced.</summary>
public sealed class GroupTopics
{
    // The version of ids that sort by the time at which they were made.
    private const int TimeOrdered = 7;

    // All groups of a broker share one view of an image, and with it the comparison below: thousands of groups hear of every change of
    // leader.
    private static readonly ConditionalWeakTable<ClusterImage, GroupTopics> OfImages = [];

    private readonly ClusterImage _image;
    private Comparison? _lastComparison;

    private GroupTopics(ClusterImage image) => _image = image;

    /// <summary>What is known before the first image has arrived: nothing, which is not the same as that there are no topics.</summary>
    public static GroupTopics Unknown { get; } = new(ClusterImage.Empty);

    /// <summary>False before the first image has arrived.</summary>
    public bool IsKnown => _image.Version > 0;

    /// <summary>That of the image; 0 before the first.</summary>
    public long Version => _image.Version;

    /// <summary>All of them, by name in ordinal order.</summary>
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

    /// <summary>Reads an image.</summary>
    public static GroupTopics Of(ClusterImage image) =>
        image.Version > 0 ? OfImages.GetValue(image, static known => new GroupTopics(known)) : Unknown;

    /// <summary>The topic of that name; null where none is served.</summary>
    public GroupTopic? Find(string name) => _image.FindServed(name) is { } topic ? new GroupTopic(topic.Name, topic.TopicId, topic.Serving)
        : null;

    /// <summary>The topic of that id; null where none is served.</summary>
    public GroupTopic? Find(Guid topicId) =>
        _image.Topics.TryGetValue(topicId, out var topic) && Find(topic.Name) is { } found && found.TopicId == topicId ? found : null;

    /// <summary>By partition of a topic the racks of the brokers that hold it; null where no rack is known.</summary>
    public IReadOnlyList<IReadOnlyCollection<string>>? RacksOf(Guid topicId)
    {
        if (!_image.Topics.TryGetValue(topicId, out var topic) || _image.Brokers.Values.All(broker => broker.Registration.Rack is null))
            return null;
        return [.. topic.Partitions.Select(partition => (IReadOnlyCollection<string>)
            [.. partition.Replicas.Select(id => _image.Brokers.TryGetValue(id, out var broker) ? broker.Registration.Rack : null)
                .OfType<string>().Distinct()])];
    }

    /// <summary>Whether a topic is known to have been deleted: an id that is merely not here may be one that this image does not
    /// know.</summary>
    public bool IsDeleted(Guid topicId) => _image.Deleted.Contains(topicId);

    /// <summary>Whether another topic has taken a name since. Ids carry the time at which they were made: a topic newer than the one that
    /// has the name here is one that this image does not know yet, and replaces nothing.</summary>
    public bool IsReplaced(string name, Guid topicId) =>
        Find(name) is { } topic && topic.TopicId != topicId && !IsNewer(topicId, topic.TopicId);

    /// <summary>Whether a topic was made after another, as far as their ids tell.</summary>
    internal static bool IsNewer(Guid one, Guid other) =>
        one.Version == TimeOrdered && other.Version == TimeOrdered && one.CompareTo(other) > 0;

    /// <summary>Whether groups would see no difference: changes of leaders and replicas are none.</summary>
    public bool IsSameAs(GroupTopics other)
    {
        if (ReferenceEquals(_image, other._image))
            return true;
        if (_lastComparison is not { } comparison || !comparison.IsWith(other._image))
            _lastComparison = comparison = new Comparison(new WeakReference<ClusterImage>(other._image), IsKnown == other.IsKnown
                && ReferenceEquals(_image.Deleted, other._image.Deleted)
                && (ReferenceEquals(_image.Topics, other._image.Topics) || All.SequenceEqual(other.All)));
        return comparison.IsSame;
    }

    // Weak: each image would else keep all before it alive.
    private sealed record Comparison(WeakReference<ClusterImage> Other, bool IsSame)
    {
        public bool IsWith(ClusterImage image) => Other.TryGetTarget(out var other) && ReferenceEquals(other, image);
    }
}
