using OrleansMq.Gateways.Kafka.Shares;

namespace OrleansMq.Tests.Kafka.Shares;

/// <summary>Share sessions: epochs, connections and their bound.</summary>
public sealed class ShareSessionsTests
{
    private static readonly ShareSessionKey One = new("g", "one");
    private static readonly ShareSessionKey Two = new("g", "two");
    private static readonly ShareSessionKey Three = new("h", "one");
    private static readonly ShareSessionKey Four = new("h", "two");
    private static readonly object Here = new();
    private static readonly object There = new();

    private readonly ShareSessions<string> _sessions = new(most: 3, mostOfConnection: 2, idle: 100);

    [Fact]
    public void Epochs_of_a_session_follow_each_other()
    {
        Assert.Equal(ErrorCode.ShareSessionNotFound, _sessions.Continue(One, Here, 1, 0, out _));
        Assert.NotNull(_sessions.Open(One, Here, 0, out var ended));
        Assert.Null(ended);
        Assert.Equal(ErrorCode.InvalidShareSessionEpoch, _sessions.Continue(One, Here, 2, 0, out _));
        Assert.Equal(ErrorCode.None, _sessions.Continue(One, Here, 1, 0, out _));
        Assert.Equal(ErrorCode.InvalidShareSessionEpoch, _sessions.Continue(One, Here, 1, 0, out _));
        Assert.Equal(ErrorCode.None, _sessions.Continue(One, Here, 2, 0, out _));
        Assert.Equal(ErrorCode.None, _sessions.Close(One, Here, out _));
        Assert.Equal(ErrorCode.ShareSessionNotFound, _sessions.Close(One, Here, out _));
    }

    [Fact]
    public void Epoch_after_the_highest_is_the_first()
    {
        var session = new ShareSession<string>(One, Here);
        Assert.True(session.TryAdvance(1));
        for (var epoch = 2; epoch < 10; epoch++)
            Assert.True(session.TryAdvance(epoch));
        typeof(ShareSession<string>).GetField("_nextEpoch", System.Reflection.BindingFlags.Instance
            | System.Reflection.BindingFlags.NonPublic)!.SetValue(session, int.MaxValue);
        Assert.True(session.TryAdvance(int.MaxValue));
        Assert.True(session.TryAdvance(1));
    }

    [Fact]
    public void Session_opened_anew_ends_the_former_and_belongs_to_its_connection()
    {
        var first = _sessions.Open(One, Here, 0, out _)!;
        var second = _sessions.Open(One, There, 0, out var ended)!;
        Assert.Same(first, ended);
        Assert.Equal(ErrorCode.ShareSessionNotFound, _sessions.Continue(One, Here, 1, 0, out _));
        Assert.Equal(ErrorCode.ShareSessionNotFound, _sessions.Close(One, Here, out _));
        Assert.Empty(_sessions.EndOf(Here));
        Assert.Equal([second], _sessions.EndOf(There));
        Assert.Equal(0, _sessions.Count);
    }

    [Fact]
    public void Unknown_partitions_of_a_connection_are_counted_and_unused_sessions_leave_first()
    {
        var (one, two) = (_sessions.Open(One, Here, 0, out _)!, _sessions.Open(Two, Here, 50, out _)!);
        var (known, unknown) = (new SharePartitionId(Guid.NewGuid(), 0), Guid.NewGuid());
        Assert.True(one.TryAdd(known) && one.TryAdd(new SharePartitionId(unknown, 0)) && two.TryAdd(new SharePartitionId(unknown, 1)));
        Assert.Equal(2, _sessions.UnknownOf(Here, partition => partition == known));
        Assert.Equal(0, _sessions.UnknownOf(There, static _ => false));
        Assert.False(_sessions.IsFull(Here));
        Assert.Null(_sessions.RemoveUnused(99));
        Assert.Same(one, _sessions.RemoveUnused(100));
        Assert.Equal(1, _sessions.UnknownOf(Here, partition => partition == known));
    }

    [Fact]
    public void Above_the_bound_the_session_unused_for_longest_gives_way()
    {
        var one = _sessions.Open(One, Here, 0, out _);
        _sessions.Open(Two, Here, 10, out _);
        _sessions.Open(Three, There, 10, out _);
        Assert.Null(_sessions.Open(Four, There, 99, out _));
        Assert.Equal(ErrorCode.None, _sessions.Continue(Two, Here, 1, 100, out _));
        Assert.NotNull(_sessions.Open(Four, There, 100, out var ended));
        Assert.Same(one, ended);
        Assert.Equal(3, _sessions.Count);
    }

    [Fact]
    public void Connection_has_a_part_of_the_sessions_at_most()
    {
        _sessions.Open(One, Here, 0, out _);
        _sessions.Open(Two, Here, 0, out _);
        Assert.Null(_sessions.Open(Three, Here, 1_000, out _));
        Assert.NotNull(_sessions.Open(Two, Here, 0, out var ended));
        Assert.NotNull(ended);
        Assert.NotNull(_sessions.Open(Three, There, 0, out _));
    }

    [Fact]
    public void Partitions_take_turns_and_keep_their_readers()
    {
        var topic = Guid.NewGuid();
        var session = new ShareSession<string>(One, Here);
        var ids = Enumerable.Range(0, 3).Select(partition => new SharePartitionId(topic, partition)).ToArray();
        Assert.All(ids.Concat(ids), id => Assert.True(session.TryAdd(id)));
        Assert.Equal(ids, session.Partitions);
        session.Rotate();
        Assert.Equal([ids[1], ids[2], ids[0]], session.Partitions);
        Assert.True(session.TrySet(ids[2], "reader"));
        Assert.Equal("reader", session.Find(ids[2]));
        session.Forget(ids[2]);
        session.Forget(ids[2]);
        Assert.Equal([ids[1], ids[0]], session.Partitions);
        // The member may still acknowledge what it holds.
        Assert.Equal("reader", session.Find(ids[2]));
        Assert.Empty(session.TakeLeft(static _ => false));
        Assert.True(session.TryAdd(ids[2]));
        Assert.Empty(session.TakeLeft(static _ => true));
        session.Forget(ids[2]);
        Assert.Equal(["reader"], session.TakeLeft(static _ => true));
        Assert.Null(session.Find(ids[2]));
    }

    [Fact]
    public void Ended_session_takes_no_reader()
    {
        var session = new ShareSession<string>(One, Here);
        var (first, second) = (new SharePartitionId(Guid.NewGuid(), 0), new SharePartitionId(Guid.NewGuid(), 0));
        Assert.True(session.TrySet(first, "one"));
        Assert.Equal(["one"], session.End());
        Assert.False(session.TrySet(second, "two"));
        Assert.Empty(session.End());
    }

    [Fact]
    public void Partitions_of_a_connection_have_a_bound_over_all_its_sessions()
    {
        var (first, second) = (_sessions.Open(One, Here, 0, out _)!, _sessions.Open(Two, Here, 0, out _)!);
        _sessions.Open(Three, There, 0, out _);
        for (var partition = 0; partition < 5; partition++)
        {
            Assert.True(first.TryAdd(new SharePartitionId(Guid.Empty, partition)));
            Assert.True(second.TryAdd(new SharePartitionId(Guid.Empty, partition)));
        }
        Assert.Equal(ShareSessions<string>.MostPartitionsOfConnection - 10, _sessions.RoomOf(Here));
        Assert.Equal(ShareSessions<string>.MostPartitionsOfConnection, _sessions.RoomOf(There));
    }

    [Fact]
    public void Partition_that_is_opened_is_not_opened_again_meanwhile_and_is_served_last()
    {
        var session = new ShareSession<string>(One, Here);
        var ids = Enumerable.Range(0, 3).Select(static partition => new SharePartitionId(Guid.Empty, partition)).ToArray();
        Assert.All(ids, id => Assert.True(session.TryAdd(id)));
        Assert.True(session.TryBeginOpening(ids[0]));
        Assert.False(session.TryBeginOpening(ids[0]));
        session.Defer(ids[0]);
        Assert.Equal([ids[1], ids[2], ids[0]], session.Partitions);
        session.EndOpening(ids[0]);
        Assert.True(session.TryBeginOpening(ids[0]));
    }

    [Fact]
    public void Session_has_a_bound_of_partitions()
    {
        var session = new ShareSession<string>(One, Here);
        for (var partition = 0; partition < ShareSession<string>.MostPartitions; partition++)
            Assert.True(session.TryAdd(new SharePartitionId(Guid.Empty, partition)));
        Assert.False(session.TryAdd(new SharePartitionId(Guid.Empty, -1)));
        Assert.True(session.TryAdd(new SharePartitionId(Guid.Empty, 0)));
    }
}
