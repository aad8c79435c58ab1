using OrleansMq.Quotas;

namespace OrleansMq.Access;

/// <summary>
/// What one session may do with one topic, as decided so far, and the counts of that topic. A check that hits the cache compares the
/// authorizer's version and one bit. Thread safe.
/// </summary>
internal sealed class TopicGrant(BrokerAccess access, BrokerSession session, ClientQuotas? quotas, string topic)
{
    private const int VersionShift = 32;
    private const int DecidedShift = 16;

    // The version of the decisions in the upper half; below it one bit an operation, first for decided, then for allowed. One word, so
    // that a reader never sees the bits of one version under another. A lost update is decided again.
    private long _decisions;
    private TopicCounts? _counts;

    /// <summary>The caller.</summary>
    public BrokerSession Session => session;

    /// <summary>What the caller may use; null: everything.</summary>
    public ClientQuotas? Quotas => quotas;

    /// <summary>The topic's counts; those of its successor once it was deleted.</summary>
    public TopicCounts Counts => _counts is { IsRetired: false } counts ? counts : _counts = access.Meter.Topics.Of(topic);

    /// <summary>The topic's counts, unless there are none yet.</summary>
    public TopicCounts? CountsSoFar => access.Meter.Topics.Find(topic);

    /// <summary>Whether the session may perform an operation on the topic.</summary>
    public bool Allows(AccessOperation operation)
    {
        var decisions = Volatile.Read(ref _decisions);
        var version = access.Authorizer.Version;
        var decided = 1L << ((int)operation + DecidedShift);
        if ((int)(decisions >> VersionShift) == version && (decisions & decided) != 0)
            return (decisions & (1L << (int)operation)) != 0;
        return Decide(operation, version);
    }

    private bool Decide(AccessOperation operation, int version)
    {
        var allowed = access.Allows(session, operation, ResourceType.Topic, topic);
        var before = Volatile.Read(ref _decisions);
        var bits = (int)(before >> VersionShift) == version ? before & uint.MaxValue : 0;
        bits |= 1L << ((int)operation + DecidedShift);
        if (allowed)
            bits |= 1L << (int)operation;
        else
            bits &= ~(1L << (int)operation);
        Volatile.Write(ref _decisions, ((long)version << VersionShift) | bits);
        return allowed;
    }
}
