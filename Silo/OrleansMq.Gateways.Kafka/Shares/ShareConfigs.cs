using OrleansMq.Api;
using OrleansMq.Groups.Share;

namespace OrleansMq.Gateways.Kafka.Shares;

/// <summary>The configurations of the share groups whose members fetch here. A group's coordinator is asked once in a while for all of its
/// members, beside their fetches; an answer counts that was asked for later than the one before. Thread safe.</summary>
internal sealed class ShareConfigs(TimeProvider time)
{
    /// <summary>How long a configuration is taken for current: a member's heartbeat interval.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    // As many as sessions. Those that nobody asked for lately are forgotten above it.
    private const int Most = 2_000;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, Known> _groups = new(StringComparer.Ordinal);

    /// <summary>Returns a group's configuration as far as it is known, and asks for it if that is long ago.</summary>
    /// <param name="groupId">The group.</param>
    /// <param name="ask">Asks the group's coordinator.</param>
    /// <returns>The configuration; null: it is not known yet.</returns>
    public ShareGroupConfig? Find(string groupId, Func<Task<ShareCursorsResult>> ask)
    {
        ShareGroupConfig? config;
        var now = time.GetTimestamp();
        lock (_lock)
        {
            if (!_groups.TryGetValue(groupId, out var known))
            {
                if (_groups.Count >= Most)
                    ForgetOld(now);
                _groups.Add(groupId, known = new Known());
            }
            else if (time.GetElapsedTime(known.AskedAt, now) < Interval)
                return known.Config;
            (known.AskedAt, config) = (now, known.Config);
        }
        _ = LearnAsync(groupId, ask, now);
        return config;
    }

    /// <summary>Takes an answer of a group's coordinator.</summary>
    /// <param name="groupId">The group.</param>
    /// <param name="found">The answer.</param>
    /// <param name="askedAt">When it was asked for.</param>
    public void Learn(string groupId, ShareCursorsResult found, long askedAt)
    {
        if (found.Error != ErrorCode.None)
            return;
        var config = ShareGroupConfig.Of(found.Configs);
        lock (_lock)
        {
            if (_groups.TryGetValue(groupId, out var known) && askedAt >= known.KnownAt)
                (known.Config, known.KnownAt) = (config, askedAt);
        }
    }

    private async Task LearnAsync(string groupId, Func<Task<ShareCursorsResult>> ask, long now)
    {
        try
        {
            Learn(groupId, await ask().ConfigureAwait(false), now);
        }
        catch (Exception passing) when (passing is BrokerException or OperationCanceledException)
        {
            // The next interval asks again.
        }
    }

    private void ForgetOld(long now)
    {
        foreach (var (groupId, known) in _groups)
        {
            if (time.GetElapsedTime(known.AskedAt, now) >= 2 * Interval)
                _groups.Remove(groupId);
        }
    }

    private sealed class Known
    {
        public ShareGroupConfig? Config { get; set; }
        public long AskedAt { get; set; }
        public long KnownAt { get; set; } = long.MinValue;
    }
}
