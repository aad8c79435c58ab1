using OrleansMq.Api;

namespace OrleansMq.Gateways.Kafka.Shares;

/// <summary>A partition of a share group whose start is looked up.</summary>
/// <param name="GroupId">The group.</param>
/// <param name="TopicId">The topic.</param>
/// <param name="Partition">The partition's number.</param>
internal readonly record struct ShareStartPlace(string GroupId, Guid TopicId, int Partition);

/// <summary>The look-ups of where share groups begin in partitions. Heartbeats of several members share one that is under way; one that
/// failed is repeated after a while, at first a second, at last half a minute, whatever the number of heartbeats. Thread safe.</summary>
internal sealed class ShareStartLookUps(TimeProvider time)
{
    private const int MostPlaces = 20_000;

    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(30);

    private readonly Lock _lock = new();
    private readonly Dictionary<ShareStartPlace, Place> _places = [];

    private sealed class Place
    {
        public Guid Incarnation { get; set; }
        public Task<OffsetResult>? Running { get; set; }
        public TimeSpan Pause { get; set; }
        public long FailedAt { get; set; }
    }

    /// <summary>Whether a look-up is under way, or may begin.</summary>
    public bool IsDue(ShareStartPlace place)
    {
        lock (_lock)
            return !_places.TryGetValue(place, out var known) || known.Running is not null
                || time.GetElapsedTime(known.FailedAt) >= known.Pause;
    }

    /// <summary>Joins the look-up that is under way, or begins one.</summary>
    /// <param name="place">The partition.</param>
    /// <param name="incarnation">The incarnation of the group's cursors: another one begins elsewhere.</param>
    /// <param name="find">Looks the start up. It ends in time by itself.</param>
    public Task<OffsetResult> FindAsync(ShareStartPlace place, Guid incarnation, Func<Task<OffsetResult>> find)
    {
        lock (_lock)
        {
            // Groups and topics that went away.
            if (_places.Count >= MostPlaces)
                _places.Clear();
            if (!_places.TryGetValue(place, out var known))
                _places.Add(place, known = new Place());
            if (known.Running is null || known.Incarnation != incarnation)
                (known.Incarnation, known.Running) = (incarnation, Task.Run(() => RunAsync(place, incarnation, find)));
            return known.Running;
        }
    }

    private async Task<OffsetResult> RunAsync(ShareStartPlace place, Guid incarnation, Func<Task<OffsetResult>> find)
    {
        var isFound = false;
        try
        {
            var found = await find().ConfigureAwait(false);
            isFound = found.Error == ErrorCode.None;
            return found;
        }
        finally
        {
            End(place, incarnation, isFound);
        }
    }

    private void End(ShareStartPlace place, Guid incarnation, bool isFound)
    {
        lock (_lock)
        {
            if (!_places.TryGetValue(place, out var known) || known.Incarnation != incarnation)
                return;
            known.Running = null;
            if (isFound)
            {
                _places.Remove(place);
                return;
            }
            var longer = known.Pause * 2;
            known.Pause = longer < FirstPause ? FirstPause : longer > LongestPause ? LongestPause : longer;
            known.FailedAt = time.GetTimestamp();
        }
    }
}
