using OrleansMq.Access;
using OrleansMq.Diagnostics;
using OrleansMq.Tests.Engine.Brokers;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Access;

/// <summary>Refused operations are logged, and a client cannot fill the log with them.</summary>
public sealed class DenialTests
{
    private static readonly BrokerSession Alice = new("User:alice", "billing", "", "10.0.0.7", SessionProtocol.Kafka);

    private readonly RecordedLog _log = new();
    private readonly ManualClock _time = new();

    [Fact]
    public void Line_names_who_may_not_do_what_once_a_minute()
    {
        var denials = new DenialLog(_log, _time);
        for (var times = 0; times < 1_000; times++)
            denials.Write(Alice, AccessOperation.Write, ResourceType.Topic, "orders");
        Assert.Equal("Refused: User:alice at '10.0.0.7' (Kafka, client 'billing') may not Write Topic 'orders'.",
            Assert.Single(_log.At(EngineLogLevel.Warning)).Trim());
        denials.Write(Alice, AccessOperation.Read, ResourceType.Topic, "orders");
        denials.Write(Alice with { Host = "10.0.0.8" }, AccessOperation.Read, ResourceType.Topic, "orders");
        Assert.Equal(3, _log.At(EngineLogLevel.Warning).Count());
        _time.Advance(TimeSpan.FromMinutes(1));
        denials.Write(Alice, AccessOperation.Write, ResourceType.Topic, "orders");
        Assert.Equal(4, _log.At(EngineLogLevel.Warning).Count());
    }

    [Fact]
    public void Client_that_makes_up_names_leaves_lines_to_others()
    {
        var denials = new DenialLog(_log, _time);
        for (var number = 0; number < 1_000; number++)
            denials.Write(Alice, AccessOperation.Write, ResourceType.Topic, $"topic-{number}");
        Assert.Equal(20, _log.At(EngineLogLevel.Warning).Count());
        denials.Write(Alice with { Principal = "User:bob" }, AccessOperation.Write, ResourceType.Topic, "orders");
        Assert.Contains("User:bob", _log.At(EngineLogLevel.Warning).Last(), StringComparison.Ordinal);
        for (var number = 0; number < 1_000; number++)
            denials.Write(Alice with { Principal = $"User:{number}" }, AccessOperation.Write, ResourceType.Topic, "orders");
        Assert.Equal(100, _log.At(EngineLogLevel.Warning).Count());
        _time.Advance(TimeSpan.FromMinutes(1));
        denials.Write(Alice, AccessOperation.Write, ResourceType.Topic, "orders");
        Assert.Contains(_log.At(EngineLogLevel.Warning), static line => line.Contains("1901 more", StringComparison.Ordinal));
        Assert.Contains("'orders'", _log.At(EngineLogLevel.Warning).Last(), StringComparison.Ordinal);
    }

    [Fact]
    public void Line_break_in_a_name_does_not_begin_a_line()
    {
        new DenialLog(_log, _time).Write(Alice with { ClientId = "a\nb" }, AccessOperation.Write, ResourceType.Topic,
            "x\r\n" + new string('y', 1_000));
        var line = Assert.Single(_log.At(EngineLogLevel.Warning));
        Assert.DoesNotContain(line, static c => char.IsControl(c));
        Assert.True(line.Length < 400);
    }
}
