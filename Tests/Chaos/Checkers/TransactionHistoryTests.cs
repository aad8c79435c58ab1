using System.Globalization;
using OrleansMq.Tests.Chaos.Transactions;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>Checker of transactions: histories made by hand, each with one mistake of a broker.</summary>
public sealed class TransactionHistoryTests
{
    private readonly Violations _violations = new();
    private readonly TransactionHistory _history;
    private long _nanos = 1000;

    // A writer commits one transaction over two partitions, aborts the next and leaves a third without an answer. A copier
    // copies the first.
    public TransactionHistoryTests()
    {
        _history = new TransactionHistory(_violations);
        Take("Initialised", "writer", "w1", 900);
        Send("w1/0", "source", 0, "a");
        Send("w1/0", "source", 1, "b");
        End("w1/0", "Commit");
        Send("w1/1", "source", 0, "aborted");
        End("w1/1", "Abort");
        Send("w1/2", "source", 0, "c");
        Send("w1/2", "source", 1, "d");
        Take("Asking", "w1/2", "Commit");
        Take("Initialised", "copier", "c1", 900);
        Take("Polled", "c1", "source", 0, 0, "a");
        Take("Polled", "c1", "source", 1, 0, "b");
        Send("c1/0", "output", 0, "copy-a", "a");
        Send("c1/0", "output", 0, "copy-b", "b");
        End("c1/0", "Commit");
    }

    private static List<(Place, string)> Right =>
        [At("output", 0, 0, "copy-a"), At("output", 0, 1, "copy-b"), At("source", 0, 0, "a"), At("source", 1, 0, "b")];

    private static Dictionary<int, long> Next => new() { [0] = 5, [1] = 2 };

    [Fact]
    public void Correct_broker_is_not_accused()
    {
        Read(Right);
        Judge(Right);
        Assert.True(_violations.IsEmpty, $"{_violations}");
        Assert.Equal((2, 1, 1, 2), (_history.Committed, _history.NotCommitted, _history.Unclear, _history.Instances));
    }

    [Fact]
    public void Transaction_without_an_answer_may_be_committed_whole()
    {
        Send("c1/1", "output", 0, "copy-c", "c");
        Send("c1/1", "output", 0, "copy-d", "d");
        End("c1/1", "Commit");
        Judge([.. Right, At("source", 0, 4, "c"), At("source", 1, 2, "d"), At("output", 0, 3, "copy-c"), At("output", 0, 4, "copy-d")],
            new Dictionary<int, long> { [0] = 5, [1] = 3 });
        Assert.True(_violations.IsEmpty, $"{_violations}");
    }

    [Fact]
    public void Transaction_without_an_answer_that_is_committed_in_part_is_detected()
    {
        Judge([.. Right, At("source", 0, 4, "c")]);
        Assert.Equal(1, _violations.Count(ViolationKind.Torn));
    }

    [Fact]
    public void Reader_that_sees_an_aborted_record_is_detected()
    {
        Read([At("source", 0, 0, "a"), At("source", 0, 2, "aborted")]);
        Judge(Right);
        AssertOnly(ViolationKind.AbortedRead);
    }

    [Fact]
    public void Member_of_a_group_that_sees_an_aborted_record_is_detected()
    {
        Take("Polled", "c1", "source", 0, 2, "aborted");
        Judge(Right);
        AssertOnly(ViolationKind.AbortedRead);
    }

    [Fact]
    public void Record_of_a_transaction_whose_commit_was_never_asked_for_is_detected()
    {
        Send("w1/3", "source", 0, "early");
        Read([At("source", 0, 0, "a"), At("source", 0, 6, "early")]);
        Judge(Right);
        AssertOnly(ViolationKind.AbortedRead);
    }

    [Fact]
    public void Missing_committed_record_is_detected()
    {
        Judge([.. Right.Where(static record => record.Item2 != "copy-b")]);
        // The transaction's record, and the copy of its source.
        Assert.Equal(2, _violations.Count(ViolationKind.Lost));
    }

    [Fact]
    public void Doubled_record_is_detected()
    {
        Judge([.. Right, At("source", 1, 7, "b")], new Dictionary<int, long> { [0] = 5, [1] = 8 });
        Assert.Equal(1, _violations.Count(ViolationKind.Doubled));
    }

    [Fact]
    public void Records_of_a_producer_in_another_order_are_detected()
    {
        Judge([At("output", 0, 0, "copy-b"), At("output", 0, 1, "copy-a"), At("source", 0, 0, "a"), At("source", 1, 0, "b")]);
        AssertOnly(ViolationKind.Reordered);
    }

    [Fact]
    public void Reader_that_goes_back_is_detected()
    {
        Read([At("output", 0, 1, "copy-b"), At("output", 0, 0, "copy-a")]);
        Judge(Right);
        AssertOnly(ViolationKind.Reordered);
    }

    [Fact]
    public void Reader_that_passes_over_a_committed_record_is_detected()
    {
        Read([At("output", 0, 1, "copy-b")]);
        Judge(Right);
        AssertOnly(ViolationKind.Hole);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Committed_record_that_was_sent_after_another_producer_had_the_id_is_detected(bool asksAfterwards)
    {
        Take("Initialised", "writer", "w2", asksAfterwards ? _nanos : 0);
        Send("w1/3", "source", 2, "late");
        End("w1/3", "Commit");
        Send("c1/1", "output", 0, "copy-late", "late");
        End("c1/1", "Commit");
        Judge([.. Right, At("source", 2, 0, "late"), At("output", 0, 3, "copy-late")], new(Next) { [2] = 1 });
        if (asksAfterwards)
            AssertOnly(ViolationKind.FencedCommitted);
        else
            Assert.True(_violations.IsEmpty, $"Of two that ask at once none is the later: {_violations}");
    }

    [Fact]
    public void Other_value_at_an_offset_is_detected()
    {
        Take("Stored", "source", 0, 0, "aborted");
        Judge(Right);
        AssertOnly(ViolationKind.Changed);
    }

    [Fact]
    public void Committed_record_that_the_reader_of_all_records_misses_is_detected()
    {
        _history.Judge(Right, [.. Right.Skip(1)]);
        AssertOnly(ViolationKind.Changed);
    }

    [Fact]
    public void Record_that_was_never_sent_is_detected()
    {
        Read([At("output", 1, 0, "copy-a")]);
        Judge(Right);
        AssertOnly(ViolationKind.NeverSent);
    }

    [Fact]
    public void Second_copy_is_detected()
    {
        Send("c1/1", "output", 1, "copy-a-again", "a");
        End("c1/1", "Commit");
        Judge([.. Right, At("output", 1, 0, "copy-a-again")]);
        AssertOnly(ViolationKind.Doubled);
    }

    [Fact]
    public void Offsets_that_were_committed_without_the_copies_are_detected()
    {
        Send("w1/3", "source", 0, "e");
        End("w1/3", "Commit");
        Judge([.. Right, At("source", 0, 4, "e")]);
        AssertOnly(ViolationKind.Lost);
    }

    [Fact]
    public void Copies_that_were_committed_without_the_offsets_are_detected()
    {
        Judge(Right, new Dictionary<int, long> { [0] = 0, [1] = 2 });
        AssertOnly(ViolationKind.Torn);
    }

    [Fact]
    public void Copy_of_an_aborted_record_is_detected()
    {
        Send("c1/1", "output", 1, "copy-aborted", "aborted");
        End("c1/1", "Commit");
        Judge([.. Right, At("output", 1, 0, "copy-aborted")]);
        AssertOnly(ViolationKind.AbortedRead);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Committed_transactions_that_read_from_each_other_are_detected(bool isBothCommitted)
    {
        // The one copies a value of the other, which copies one of the first: also over a third.
        Send("c2/0", "output", 1, "x");
        Send("c3/0", "output", 1, "y", "x");
        Send("c4/0", "output", 1, "z", "y");
        Send("c2/0", "output", 1, "x-again", "z");
        End("c2/0", "Commit");
        End("c3/0", isBothCommitted ? "Commit" : "Abort");
        End("c4/0", "Commit");
        List<(Place, string)> seen = [At("output", 1, 0, "x"), At("output", 1, 1, "y"), At("output", 1, 2, "z"),
            At("output", 1, 3, "x-again")];
        List<(Place, string)> committed = [.. Right, .. seen.Where(record => isBothCommitted || record.Item2 != "y")];
        _history.Judge(committed, committed);
        if (isBothCommitted)
            AssertOnly(ViolationKind.Cycle);
        else
            Assert.Equal(0, _violations.Count(ViolationKind.Cycle));
    }

    [Fact]
    public void Transaction_that_copies_its_own_record_is_detected()
    {
        Send("c2/0", "output", 1, "x");
        Send("c2/0", "output", 1, "y", "x");
        End("c2/0", "Commit");
        List<(Place, string)> committed = [.. Right, At("output", 1, 0, "x"), At("output", 1, 1, "y")];
        _history.Judge(committed, committed);
        AssertOnly(ViolationKind.Cycle);
    }

    [Theory]
    [InlineData(3, 9, true)]
    [InlineData(3, 10, false)]
    [InlineData(4, 9, false)] // Another leader.
    [InlineData(-1, 9, false)]
    public void Last_stable_offset_that_goes_back_on_one_leader_is_detected(int epoch, long offset, bool isDetected)
    {
        Take("Stable", "reader", "source", 0, -1, 10);
        Take("Stable", "reader", "source", 0, 3, 10);
        Take("Stable", "reader", "source", 1, 3, 11);
        Take("Stable", "reader", "source", 0, epoch, offset);
        // It is compared with the highest.
        Take("Stable", "reader", "source", 0, 4, 12);
        Judge(Right);
        if (isDetected)
            AssertOnly(ViolationKind.WentBack);
        else
            Assert.True(_violations.IsEmpty, $"{_violations}");
    }

    [Theory]
    [InlineData("transaction-event Sending 17 w1/0 source 0 a -", true)]
    [InlineData("transaction-event Sending 17 w1/0 sou", false)]
    [InlineData("a line of a log", false)]
    public void Event_is_read_from_its_line_and_half_a_line_is_none(string line, bool isEvent)
    {
        var seen = TransactionEvent.Parse(line);
        Assert.Equal(isEvent ? line : null, seen?.ToLine());
    }

    private void Judge(List<(Place, string)> committed, Dictionary<int, long>? next = null)
    {
        _history.Judge(committed, committed);
        _history.JudgeCopies("source", committed, next ?? Next);
    }

    private void AssertOnly(ViolationKind kind)
    {
        Assert.True(_violations.Count(kind) == 1, $"{_violations}");
        Assert.Single($"{_violations}".Split('\n'), static line => !line.Contains(": ", StringComparison.Ordinal));
    }

    private static (Place, string) At(string topic, int partition, long offset, string value) =>
        (new Place(topic, partition, offset), value);

    private void Read(IEnumerable<(Place Place, string Value)> records)
    {
        foreach (var (place, value) in records)
            Take("Read", "reader", place.Topic, place.Partition, place.Offset, value);
    }

    private void Send(string transaction, string topic, int partition, string value, string source = "-") =>
        Take("Sending", transaction, topic, partition, value, source);

    private void End(string transaction, string end)
    {
        Take("Asking", transaction, end);
        Take("Ended", transaction, end);
    }

    private void Take(string kind, params object[] words) => _history.Take(new TransactionEvent(Enum.Parse<TransactionEventKind>(kind),
        _nanos++, [.. words.Select(static word => Convert.ToString(word, CultureInfo.InvariantCulture)!)]));
}
