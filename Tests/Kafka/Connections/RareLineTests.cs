using OrleansMq.Diagnostics;
using OrleansMq.Testing;
using OrleansMq.Tests.Kafka.Codec;

namespace OrleansMq.Tests.Kafka.Connections;

public sealed class RareLineTests
{
    [Fact]
    public void Line_is_written_once_a_minute_with_the_number_of_those_left_out()
    {
        var log = new RecordedLog();
        var time = new ManualTimeProvider();
        var line = new RareLine(log, time);
        for (var number = 0; number < 5; number++)
            line.Write(EngineLogLevel.Warning, $"Client {number} was closed.");
        Assert.Equal("Warning: Client 0 was closed.", Assert.Single(log.Lines));
        time.Advance(RareLine.Interval);
        line.Write(EngineLogLevel.Warning, "Client 5 was closed.");
        time.Advance(RareLine.Interval);
        line.Write(EngineLogLevel.Warning, "Client 6 was closed.");
        Assert.Equal("Warning: Client 5 was closed. 4 more such lines were left out.", log.Lines[1]);
        Assert.Equal("Warning: Client 6 was closed.", log.Lines[2]);
    }
}
