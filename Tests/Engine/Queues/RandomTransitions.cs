using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Random transitions of a few cursors, valid after those before: what a leader would write.</summary>
internal sealed class RandomTransitions(Random random)
{
    private static readonly DeadLetterTarget Target = new(new Guid("99999999-0000-0000-0000-000000000000"), 1);

    /// <summary>Returns a control batch with its offset, without changing the state.</summary>
    public Memory<byte> NextBatch(LogCursors cursors, long offset)
    {
        using var builder = new RecordBatchBuilder();
        CursorControlRecord.AddTo(builder, 1, [.. Enumerable.Range(0, 1 + random.Next(2)).Select(_ => random.Next(3)).Distinct()
            .Select(id => Next(cursors.Cursors.GetValueOrDefault(id), id, offset))]);
        var batch = builder.Build().ToArray();
        RecordBatchHeader.StampBaseOffset(batch, offset);
        RecordBatchHeader.StampLeaderEpoch(batch, 0);
        return batch;
    }

    private CursorTransition Next(CursorState? state, int id, long offset)
    {
        if (state is null)
        {
            var incarnation = NewId();
            var floor = random.Next(3) == 0 ? CursorState.Latest : random.NextInt64(offset + 1);
            return Statement(new CursorState(id, incarnation, new CursorConfiguration { Name = $"c{id}" }, floor));
        }
        return random.Next(12) switch
        {
            0 => new CursorRemoval(id, state.Incarnation),
            1 => Statement(state),
            2 => Statement(state.Renew(NewId(), state.Configuration, random.NextInt64(offset + 1))),
            3 => new CursorDelta(id, NewId()) { DeliveredUpTo = 7 },
            _ => Delta(state, offset),
        };
    }

    private CursorDelta Delta(CursorState state, long offset)
    {
        var first = state.Floor + random.Next(5);
        var free = state.Floor + random.Next(9);
        var intends = random.Next(3) == 0 && !state.IsSettled(free) && !state.IsIntended(free);
        var finishes = random.Next(2) == 0 ? state.Intents.Keys.Take(1) : [];
        return new CursorDelta(state.Id, state.Incarnation)
        {
            Settlements = random.Next(3) == 0 ? [] : [new Settlement(SettlementCause.Accepted, 1, [new OffsetRange(first, first)])],
            Returns = random.Next(3) > 0 ? [] : [new ReturnedRecord(state.Floor + 10, new DeliveryCounts(random.Next(5), 1), 0)],
            Intents = intends ? [new DeadLetterIntent(state.NextSequence, state.Incarnation, free, Target, SettlementCause.Rejected,
                new DeliveryCounts(1, 1), 5)] : [],
            Finished = [.. finishes.Select(sequence => new FinishedIntent(sequence, IsPublished: true))],
            DeliveredUpTo = offset + random.Next(100),
        };
    }

    private static CursorStatement Statement(CursorState state) => new(state.Id, state.Incarnation, CursorStateFormat.Encode(state));

    private Guid NewId()
    {
        Span<byte> bytes = stackalloc byte[16];
        random.NextBytes(bytes);
        return new Guid(bytes);
    }
}
