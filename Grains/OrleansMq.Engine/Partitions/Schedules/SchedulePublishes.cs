using System.Collections.Concurrent;
using OrleansMq.Schedules;

namespace OrleansMq.Partitions.Schedules;

/// <summary>
/// Bounds what the schedules of a broker publish at once: the records of an intent are in memory twice, as payloads and as a batch. Thread
/// safe.
/// </summary>
/// <remarks>An append that is not answered in time leaves its place to another, and its batch stays in memory until it is answered. A
/// target gets no second batch until then. Where many are not answered, further ones keep their places.</remarks>
internal sealed class SchedulePublishes(TimeProvider time)
{
    /// <summary>The most intents that are published at once: some 50 MB.</summary>
    public const int Most = 32;

    /// <summary>The most appends without answer that keep no place.</summary>
    public const int MostLate = 96;

    /// <summary>How long an append keeps its place without an answer.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly SemaphoreSlim _places = new(Most);
    private readonly SemaphoreSlim _late = new(MostLate);
    private readonly ConcurrentDictionary<ScheduleTarget, bool> _unanswered = [];

    /// <summary>Whether an append to a target is not answered yet, though time is up.</summary>
    public bool IsUnanswered(ScheduleTarget target) => _unanswered.ContainsKey(target);

    /// <summary>Waits for a place; dispose it when the publish has ended.</summary>
    public async Task<IDisposable> EnterAsync(CancellationToken cancellationToken)
    {
        await _places.WaitAsync(cancellationToken).ConfigureAwait(false);
        return new Place(_places);
    }

    /// <summary>Waits for the answer of an append.</summary>
    /// <param name="target">The target.</param>
    /// <param name="append">The append, in progress.</param>
    /// <param name="batch">What it uses: disposed when it has ended.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="TimeoutException">It is not answered yet: its outcome is not known.</exception>
    public async Task<T> AnswerAsync<T>(ScheduleTarget target, Task<T> append, IDisposable batch, CancellationToken cancellationToken)
    {
        try
        {
            return await append.WaitAsync(Patience, time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException) when (!append.IsCompleted)
        {
            if (!_late.Wait(0, CancellationToken.None))
                return await append.WaitAsync(cancellationToken).ConfigureAwait(false);
            _unanswered[target] = true;
            _ = append.ContinueWith(_ =>
            {
                _unanswered.TryRemove(target, out var _);
                _late.Release();
            }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            throw new TimeoutException($"The append to partition {target.Partition} is not answered after {Patience.TotalSeconds} s.");
        }
        finally
        {
            _ = append.ContinueWith(task =>
            {
                _ = task.Exception;
                batch.Dispose();
            }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }
    }

    private sealed class Place(SemaphoreSlim places) : IDisposable
    {
        private int _isLeft;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _isLeft, 1) == 0)
                places.Release();
        }
    }
}
