using System.Collections.Concurrent;
using Orleans.Metadata;

namespace OrleansMq.Consumers;

/// <summary>
/// For how long no silo has had something, such as a grain class. An absence begins with the question that finds it, and ends with a
/// manifest that has it, asked about or not: manifests are followed while there is an absence. Thread-safe.
/// </summary>
/// <typeparam name="TKey">What silos have.</typeparam>
/// <param name="manifests">The manifests.</param>
/// <param name="isIn">Whether a manifest has it.</param>
/// <param name="time">The clock.</param>
internal sealed class Absences<TKey>(IClusterManifestProvider manifests, Func<ClusterManifest, TKey, bool> isIn, TimeProvider time)
    where TKey : notnull
{
    /// <summary>The most absences that are known: records may name classes that nobody has. Beyond them the oldest one is forgotten, and
    /// begins again when it is asked about.</summary>
    internal const int Most = 10_000;

    private static readonly TimeSpan ReportInterval = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<TKey, (long Since, long Reported)> _absences = new();
    private readonly Lock _gate = new();
    private bool _isFollowing;

    /// <summary>Returns how long an absence has lasted; null: a silo has it.</summary>
    /// <param name="key">What is asked about.</param>
    /// <param name="isReported">Whether that was returned as not reported within the last minute.</param>
    public TimeSpan? Of(TKey key, out bool isReported)
    {
        isReported = true;
        if (IsPresent(key))
            return null;
        var now = time.GetTimestamp();
        isReported = !_absences.TryAdd(key, (now, now));
        if (!isReported && _absences.Count > Most)
            _absences.TryRemove(_absences.MinBy(static absence => absence.Value.Since).Key, out _);
        Follow();
        // The manifest that ends the absence may have come before it was added.
        if (IsPresent(key))
            return null;
        var absence = _absences.GetValueOrDefault(key, (Since: now, Reported: now));
        if (isReported && time.GetElapsedTime(absence.Reported, now) >= ReportInterval)
            isReported = !_absences.TryUpdate(key, absence with { Reported = now }, absence);
        return time.GetElapsedTime(absence.Since, now);
    }

    private bool IsPresent(TKey key)
    {
        if (!isIn(manifests.Current, key))
            return false;
        _absences.TryRemove(key, out _);
        return true;
    }

    private void Follow()
    {
        lock (_gate)
        {
            if (_isFollowing)
                return;
            _isFollowing = true;
            var updates = manifests.Updates.GetAsyncEnumerator();
            _ = Task.Run(() => FollowAsync(updates));
        }
    }

    // The updates end with the silo.
    private async Task FollowAsync(IAsyncEnumerator<ClusterManifest> updates)
    {
        await using var _ = updates.ConfigureAwait(false);
        while (await updates.MoveNextAsync().ConfigureAwait(false))
        {
            foreach (var key in _absences.Keys.Where(key => isIn(updates.Current, key)))
                _absences.TryRemove(key, out var _);
            lock (_gate)
            {
                // An absence is added before it is followed.
                _isFollowing = !_absences.IsEmpty;
                if (!_isFollowing)
                    return;
            }
        }
    }
}
