using OrleansMq.Queues;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>State from a snapshot and the log after it equals the state from the log alone.</summary>
public sealed class LogCursorsTests
{
    private static readonly Guid First = new("11111111-0000-0000-0000-000000000000");
    private static readonly Guid Second = new("22222222-0000-0000-0000-000000000000");
    private static readonly CursorConfiguration Configuration = new() { Name = "c" };

    [Fact]
    public void Snapshot_restores_every_cursor()
    {
        var cursors = new LogCursors();
        cursors.Apply(5, [Statement(0, First, 2), Statement(4, Second, CursorState.Latest)]);
        cursors.Apply(6, [Settled(0, First, 2, 3), Settled(4, Second, 9, 9)]);
        var restored = LogCursors.TryDecodeSnapshot(cursors.EncodeSnapshot())!;
        Assert.Equal(cursors.EncodeSnapshot(), restored.EncodeSnapshot());
        Assert.Equal((4, 5, 5), (restored.Cursors[0].Floor, restored.Cursors[4].Floor, restored.Cursors[4].StatementOffset));
        restored.Apply(7, [Settled(4, Second, 5, 8)]);
        Assert.Equal(10, restored.Cursors[4].Floor);
    }

    [Fact]
    public void Damaged_snapshot_is_refused_at_any_byte()
    {
        var cursors = new LogCursors();
        cursors.Apply(5, [Statement(0, First, 2)]);
        var bytes = cursors.EncodeSnapshot();
        for (var i = 0; i < bytes.Length; i++)
        {
            var damaged = bytes.ToArray();
            damaged[i] ^= 0x10;
            Assert.Null(LogCursors.TryDecodeSnapshot(damaged));
        }
        Assert.Null(LogCursors.TryDecodeSnapshot(bytes.AsSpan(0, 5)));
    }

    [Fact]
    public void Latest_is_the_offset_of_the_creation()
    {
        var cursors = new LogCursors();
        cursors.Apply(42, [Statement(0, First, CursorState.Latest)]);
        Assert.Equal(42, cursors.Cursors[0].Floor);
    }

    [Fact]
    public void Another_incarnation_is_ignored()
    {
        var cursors = new LogCursors();
        cursors.Apply(5, [Settled(0, First, 0, 1)]);
        Assert.Empty(cursors.Cursors);
        cursors.Apply(6, [Statement(0, Second, 0)]);
        cursors.Apply(7, [Settled(0, First, 0, 3), new CursorRemoval(0, First)]);
        Assert.Equal(0, cursors.Cursors[0].Floor);
        cursors.Apply(8, [new CursorRemoval(0, Second)]);
        Assert.Empty(cursors.Cursors);
    }

    [Fact]
    public void Without_cursors_nothing_is_needed_and_the_topic_decides()
    {
        var cursors = new LogCursors();
        Assert.Null(cursors.NeededFrom);
        Assert.Equal(long.MaxValue, cursors.StartBound(0));
        Assert.Equal(0, cursors.FreeId);
    }

    [Fact]
    public void Reset_keeps_dead_letters_on_their_way_and_their_sequence()
    {
        var cursors = new LogCursors();
        cursors.Apply(5, [Statement(0, First, 0)]);
        var target = new DeadLetterTarget(First, 0);
        var intent = new DeadLetterIntent(0, First, 2, target, SettlementCause.Rejected, new DeliveryCounts(1, 0), 7);
        cursors.Apply(6, [new CursorDelta(0, First) { Intents = [intent] }]);
        var renewed = cursors.Cursors[0].Renew(Second, Configuration, 4);
        cursors.Apply(7, [new CursorStatement(0, Second, CursorStateFormat.Encode(renewed))]);
        var state = cursors.Cursors[0];
        Assert.Equal((4, 1, 2), (state.Floor, state.NextSequence, cursors.NeededFrom));
        Assert.False(state.IsIntended(2));

        cursors.Apply(8, [new CursorDelta(0, Second) { Finished = [new FinishedIntent(0, true)] }]);
        Assert.Equal((4, 0), (cursors.NeededFrom, state.Intents.Count));
    }

    [Fact]
    public void Statement_in_the_middle_changes_nothing()
    {
        var random = new Random(Seeds.Next());
        for (var round = 0; round < 50; round++)
        {
            var (alone, stated) = (new LogCursors(), new LogCursors());
            alone.Apply(0, [Statement(0, First, 0)]);
            stated.Apply(0, [Statement(0, First, 0)]);
            for (var offset = 1L; offset < 60; offset++)
            {
                CursorTransition[] transitions = [Settled(0, First, random.Next(100), random.Next(100))];
                alone.Apply(offset, transitions);
                stated.Apply(offset, transitions);
                if (random.Next(10) == 0)
                    stated.Apply(++offset, [new CursorStatement(0, First, CursorStateFormat.Encode(stated.Cursors[0]))]);
            }
            Assert.Equal(CursorStateFormat.Encode(alone.Cursors[0]), CursorStateFormat.Encode(stated.Cursors[0]));
        }
    }

    [Fact]
    public void Batch_with_a_statement_that_cannot_be_read_changes_nothing()
    {
        var cursors = new LogCursors();
        cursors.Apply(5, [Statement(0, First, 0)]);
        Assert.Throws<InvalidDataException>(() =>
            cursors.Apply(9, [Settled(0, First, 0, 3), new CursorStatement(1, Second, new byte[] { 0, 1 })]));
        Assert.Equal((0, 1), (cursors.Cursors[0].Floor, cursors.Cursors.Count));
    }

    private static CursorStatement Statement(int id, Guid incarnation, long floor) =>
        new(id, incarnation, CursorStateFormat.Encode(new CursorState(id, incarnation, Configuration, floor)));

    private static CursorDelta Settled(int id, Guid incarnation, long one, long other) => new(id, incarnation)
    {
        Settlements = [new Settlement(SettlementCause.Accepted, 1, [new OffsetRange(Math.Min(one, other), Math.Max(one, other))])],
    };
}
