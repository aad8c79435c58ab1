using System.Collections.Concurrent;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

/// <summary>What a search has just found out, on its way to the activation that acts by it: so that a claim costs one search, not
/// three.</summary>
internal sealed class LeaderFindings(TimeProvider time)
{
    // An activation follows within milliseconds; what is older may not hold any more.
    private static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<ReplicaKey, (LeaderFinding Finding, long At)> _findings = new();

    /// <summary>Which partition a grain is.</summary>
    public static bool TryParse(GrainId grain, out ReplicaKey key)
    {
        var parsed = GrainKeys.TryParsePartition(grain.Key.ToString()!, out var topicId, out var partition);
        key = new ReplicaKey(topicId, partition);
        return parsed;
    }

    /// <summary>Leaves a finding for the activation.</summary>
    public void Put(ReplicaKey key, LeaderFinding finding) => _findings[key] = (finding, time.GetTimestamp());

    /// <summary>A finding that is on its way.</summary>
    public LeaderFinding? Peek(ReplicaKey key) => _findings.TryGetValue(key, out var found) ? IfFresh(found) : null;

    /// <summary>Takes the finding; nobody else gets it.</summary>
    public LeaderFinding? Take(ReplicaKey key) => _findings.TryRemove(key, out var found) ? IfFresh(found) : null;

    private LeaderFinding? IfFresh((LeaderFinding Finding, long At) found) => time.GetElapsedTime(found.At) < MaxAge ? found.Finding : null;
}
