using OrleansMq.Queues;

namespace OrleansMq.Partitions.Cursors;

/// <summary>Where a cursor is.</summary>
/// <param name="Incarnation">Its incarnation.</param>
/// <param name="Configuration">Its configuration in force.</param>
/// <param name="Floor">Every record below it is settled.</param>
/// <param name="Waiting">The records from there on that are not settled, as far as offsets tell.</param>
internal sealed record CursorFacts(Guid Incarnation, CursorConfiguration Configuration, long Floor, long Waiting);

internal sealed partial class PartitionCursors
{
    /// <summary>Tells where a cursor is.</summary>
    /// <returns>Whether the partition is led here; and the cursor, null if there is none.</returns>
    public Task<(bool IsLed, CursorFacts? Facts)> DescribeAsync(string name)
    {
        var described = new TaskCompletionSource<(bool, CursorFacts?)>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() => described.TrySetResult((_term is not null, _term?.Find(name) is { Cursor.State: { } state } cursor
            ? new CursorFacts(state.Incarnation, state.Configuration, state.Floor,
                Math.Max(cursor.ReadableEnd - state.Floor - state.Settled.Count, 0)) : null)));
        return described.Task;
    }
}
