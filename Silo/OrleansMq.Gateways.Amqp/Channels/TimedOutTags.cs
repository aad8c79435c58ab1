namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>The tags of deliveries that a channel returned since their consumer held them for too long: the client may still settle them,
/// which does nothing. A client that never does so takes no memory without end: the oldest are forgotten, and settling one of those is an
/// unknown delivery tag.</summary>
internal sealed class TimedOutTags
{
    /// <summary>The most tags that are kept. Some 60 bytes each.</summary>
    public const int Most = 10_000;

    private readonly SortedSet<ulong> _tags = [];

    /// <summary>The number of tags.</summary>
    public int Count => _tags.Count;

    /// <summary>Adds a tag.</summary>
    public void Add(ulong tag)
    {
        _tags.Add(tag);
        if (_tags.Count > Most)
            _tags.Remove(_tags.Min);
    }

    /// <summary>Whether a tag is kept.</summary>
    public bool Contains(ulong tag) => _tags.Contains(tag);

    /// <summary>Removes a tag, if it is kept.</summary>
    public void Remove(ulong tag) => _tags.Remove(tag);
}
