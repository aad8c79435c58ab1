using System.Globalization;
using OrleansMq.Tests.Chaos.Transactions;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>Checker of what administrators are told: histories made by hand, each with one mistake of a broker.</summary>
public sealed class AdminHistoryTests
{
    private const string Java = "writer-java", Librdkafka = "writer-librdkafka";

    private readonly Violations _violations = new();
    private readonly AdminHistory _history;
    private long _nanos = 1000;

    // A partition with a committed transaction of each client, told by its first leader and by its second.
    public AdminHistoryTests()
    {
        _history = new AdminHistory(_violations, TransactionFleet.HasOwnEpochs);
        Take("Initialised", Java, "j1", 900);
        Take("Initialised", Librdkafka, "l1", 900);
        Described(Java, epoch: 0, number: -1, "Empty");
        Described(Librdkafka, epoch: 0, number: 0, "Empty");
        Take("Stored", "source", 0, 0, "a");
        Described(Java, 0, -1, "Ongoing");
        Described(Librdkafka, 0, 50, "Ongoing");
        Open("7@0,8@1");
        End("Committed", epoch: 1, offset: 0);
        End("All", 1, 2);
        Described(Java, 1, -1, "PrepareCommit");
        Described(Librdkafka, 0, 50, "PrepareCommit");
        Take("Read", "reader", "source", 0, 0, "a");
        End("Committed", 2, 4);
        End("All", 2, 4);
        Open("-");
        Described(Java, 1, -1, "CompleteCommit");
        Described(Librdkafka, 0, 50, "CompleteCommit");
        Listed("CompleteCommit", "CompleteCommit");
    }

    [Fact]
    public void Correct_broker_is_not_accused()
    {
        // The next coordinator tells the partitions again.
        Described(Librdkafka, 0, 50, "PrepareCommit");
        Described(Librdkafka, 0, 50, "CompleteCommit");
        Described(Librdkafka, 1, 50, "Empty");
        Described(Librdkafka, 1, 51, "Ongoing");
        Described(Librdkafka, 1, 51, "CompleteAbort");
        // Each transaction of the other client ends with an epoch of its own.
        Described(Java, 1, -1, "Ongoing");
        Described(Java, 2, -1, "PrepareAbort");
        _history.Judge();
        Assert.True(_violations.IsEmpty, $"{_violations}");
        Assert.Equal("4 ends, 2 partitions' producers, 15 descriptions, 9 of them numbered, 1 lists", _history.Figures);
    }

    [Theory]
    [InlineData(2, 3, true)]
    [InlineData(3, 3, true)] // What one leader had told the next one forgets.
    [InlineData(1, 3, false)] // The first one, which does not know yet that it was replaced.
    [InlineData(-1, 3, false)]
    [InlineData(3, 4, false)]
    public void Last_stable_offset_that_goes_back_is_detected(int epoch, long offset, bool isDetected)
    {
        End("Committed", epoch, offset);
        Judge(isDetected ? ViolationKind.WentBack : null);
    }

    [Fact]
    public void High_watermark_that_goes_back_is_detected()
    {
        End("All", 2, 6);
        End("All", 2, 5);
        Judge(ViolationKind.WentBack);
    }

    [Fact]
    public void End_that_was_asked_for_before_a_later_one_was_told_may_be_the_lower()
    {
        var asked = _nanos++;
        End("Committed", 2, 6);
        Take("End", "source", 0, "Committed", asked, 2, 5);
        Judge(null);
    }

    [Fact]
    public void High_watermark_below_the_last_stable_offset_is_detected()
    {
        End("Committed", 2, 6);
        End("All", 2, 5);
        Judge(ViolationKind.BeyondHighWatermark);
    }

    [Fact]
    public void Last_stable_offset_below_a_committed_record_that_was_read_is_detected()
    {
        Take("Polled", "member", "source", 0, 6, "c");
        End("Committed", 2, 6);
        Judge(ViolationKind.WentBack);
    }

    [Theory]
    [InlineData(6, "Commit", true)]
    [InlineData(5, "Commit", false)]
    // It may have been aborted before that was asked for: it was open for too long, or another producer has the id.
    [InlineData(6, "Abort", false)]
    public void Last_stable_offset_above_a_record_whose_commit_was_not_asked_for_is_detected(long offset, string end, bool isDetected)
    {
        Take("Sending", "w/1", "source", 0, "c", "-");
        Take("Stored", "source", 0, 5, "c");
        End("Committed", 2, offset);
        Take("Asking", "w/1", end);
        Take("Ended", "w/1", end);
        End("Committed", 2, 7);
        Judge(isDetected ? ViolationKind.StableTooEarly : null);
    }

    [Fact]
    public void High_watermark_below_an_acknowledged_record_is_detected()
    {
        Take("Stored", "source", 0, 6, "c");
        End("All", 2, 6);
        Judge(ViolationKind.Lost);
    }

    [Fact]
    public void High_watermark_of_an_earlier_leader_may_be_below_an_acknowledged_record()
    {
        Take("Stored", "source", 0, 6, "c");
        End("All", 2, 6);
        End("All", 3, 7);
        Judge(null);
    }

    [Theory]
    [InlineData(Java, 0, -1, "Ongoing", true)]
    [InlineData(Librdkafka, 0, 49, "CompleteCommit", true)]
    [InlineData(Librdkafka, 0, 50, "Ongoing", true)]
    [InlineData(Librdkafka, 0, 0, "Empty", true)]
    // Without the number it may be the next transaction.
    [InlineData(Librdkafka, 0, -1, "Ongoing", false)]
    [InlineData(Librdkafka, 0, 51, "Ongoing", false)]
    public void Description_that_goes_back_is_detected(string id, int epoch, long number, string phase, bool isDetected)
    {
        Described(id, epoch, number, phase);
        Judge(isDetected ? ViolationKind.StateWentBack : null);
    }

    [Fact]
    public void Description_that_was_asked_for_before_a_later_one_was_told_may_be_the_earlier()
    {
        var asked = _nanos++;
        Described(Librdkafka, 1, 51, "Ongoing");
        Take("Described", Librdkafka, asked, 7, 0, 50, "CompleteCommit");
        Judge(null);
    }

    [Theory]
    [InlineData(100, true)]
    [InlineData(short.MaxValue - 1, false)]
    public void Other_producer_before_the_epochs_of_the_first_are_used_up_is_detected(int epoch, bool isDetected)
    {
        Described(Librdkafka, epoch, 50, "Empty");
        Take("Described", Librdkafka, _nanos++, 9, 0, 51, "Ongoing");
        Judge(isDetected ? ViolationKind.StateWentBack : null);
    }

    [Theory]
    [InlineData(Java, 1, -1, true)]
    [InlineData(Java, 2, -1, false)]
    [InlineData(Librdkafka, 0, 50, true)]
    [InlineData(Librdkafka, 0, 51, false)]
    [InlineData(Librdkafka, 0, -1, false)]
    public void Transaction_with_two_outcomes_is_detected(string id, int epoch, long number, bool isDetected)
    {
        Described(id, epoch, number, "CompleteAbort");
        Judge(isDetected ? ViolationKind.TwoOutcomes : null);
    }

    [Fact]
    public void Phase_that_no_transactional_id_has_is_detected()
    {
        Described(Java, 1, -1, "Unknown");
        Judge(ViolationKind.PhaseWrong);
    }

    [Theory]
    [InlineData(Java, true)]
    [InlineData("other", false)]
    public void Transactional_id_that_is_forgotten_is_detected(string id, bool isDetected)
    {
        Take("Described", id, _nanos++, -1, -1, -1, "None");
        Judge(isDetected ? ViolationKind.Lost : null);
    }

    [Fact]
    public void Nothing_is_open_when_all_were_asked_and_nothing_is_told_open()
    {
        var since = _nanos++;
        Quiet();
        Assert.Empty(_history.FindOpen(since, [("source", 0)]));
    }

    [Fact]
    public void Answers_from_before_the_end_say_nothing_of_it() => Assert.Equal(["source-0: no end", "source-0: no producers",
        $"{Java} is described as nothing", $"{Librdkafka} is described as nothing", "no list"],
        _history.FindOpen(_nanos, [("source", 0)]));

    [Theory]
    [InlineData("end", "source-0: stable until 4 of 5")]
    [InlineData("producer", "source-0: open of 7@4")]
    [InlineData("description", $"{Java} is described as Ongoing")]
    [InlineData("list", $"{Librdkafka} is listed as PrepareAbort")]
    [InlineData("missing", $"{Librdkafka} is not listed")]
    public void What_is_left_open_is_found(string what, string expected)
    {
        var since = _nanos++;
        Quiet();
        switch (what)
        {
            case "end":
                End("All", 2, 5);
                break;
            case "producer":
                Open("7@4");
                break;
            case "description":
                Described(Java, 1, -1, "Ongoing");
                break;
            case "list":
                Listed("CompleteCommit", "PrepareAbort");
                break;
            default:
                Take("Listed", _nanos++, $"{Java}=Empty");
                break;
        }
        Assert.Equal([expected], _history.FindOpen(since, [("source", 0)]));
    }

    private void Quiet()
    {
        End("Committed", 2, 4);
        End("All", 2, 4);
        Open("-");
        Described(Java, 1, -1, "CompleteCommit");
        Described(Librdkafka, 0, 50, "CompleteCommit");
        Listed("CompleteCommit", "CompleteCommit");
    }

    private void Judge(ViolationKind? expected)
    {
        _history.Judge();
        if (expected is not { } kind)
        {
            Assert.True(_violations.IsEmpty, $"{_violations}");
            return;
        }
        Assert.True(_violations.Count(kind) > 0, $"{_violations}");
        Assert.Single($"{_violations}".Split('\n'), static line => !line.Contains(": ", StringComparison.Ordinal));
    }

    private void End(string name, int epoch, long offset) => Take("End", "source", 0, name, _nanos++, epoch, offset);

    private void Open(string producers) => Take("Open", "source", 0, _nanos++, producers);

    private void Described(string id, int epoch, long number, string phase) =>
        Take("Described", id, _nanos++, id == Java ? 8 : 7, epoch, number, phase);

    private void Listed(string java, string librdkafka) =>
        Take("Listed", _nanos++, $"{Java}={java},{Librdkafka}={librdkafka}");

    private void Take(string kind, params object[] words)
    {
        var line = new TransactionEvent(Enum.Parse<TransactionEventKind>(kind), _nanos++,
            [.. words.Select(static word => Convert.ToString(word, CultureInfo.InvariantCulture)!)]).ToLine();
        _history.Take(TransactionEvent.Parse(line)!);
    }
}
