using OrleansMq.Gateways.Kafka.Shares;

namespace OrleansMq.Tests.Kafka.Shares;

/// <summary>Share sessions: epochs, connections and their bound.</summary>
public sealed class ShareSessionsTests
{
    private static readonly ShareSessionKey One = new("g", "one");
    private static readonly ShareSessionKey Two = new("g", "two");
    private static readonly ShareSessionKey Three = new("h", "one");
    private static readonly object Here = new();
    private static readonly object There = new();

    private readonly ShareSessions<string> _sessions = new(most: 2, idle: 100);

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
    public void Above_the_bound_the_session_unused_for_longest_gives_way()
    {
        var one = _sessions.Open(One, Here, 0, out _);
        _sessions.Open(Two, Here, 10, out _);
        Assert.Null(_sessions.Open(Three, Here, 99, out _));
        Assert.Equal(ErrorCode.None, _sessions.Continue(Two, Here, 1, 100, out _));
        Assert.NotNull(_sessions.Open(Three, Here, 100, out var ended));
        Assert.Same(one, ended);
        Assert.Equal(2, _sessions.Count);
    }

    [Fact]
    public void Partitions_take_turns_and_keep_their_readers()
    {
        var topic = Guid.NewGuid();
        var session = new ShareSession<string>(One, Here);
        var ids = Enumerable.Range(0, 3).Select(partition => new SharePartitionId(topic, partition)).ToArray();
        Assert.All(ids.Concat(ids), session.Add);
        Assert.Equal(ids, session.Partitions);
        session.Rotate();
        Assert.Equal([ids[1], ids[2], ids[0]], session.Partitions);
        session.Set(ids[2], "reader");
        session.Set(new SharePartitionId(topic, 9), "none");
        Assert.Equal(("reader", 1), (session.Find(ids[2]), session.Readers.Count()));
        Assert.Equal("reader", session.Forget(ids[2]));
        Assert.Null(session.Forget(ids[2]));
        Assert.Equal([ids[1], ids[0]], session.Partitions);
        Assert.False(session.Contains(ids[2]));
    }
}
