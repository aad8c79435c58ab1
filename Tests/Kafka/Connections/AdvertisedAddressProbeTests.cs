using System.Net.Sockets;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Tests.Kafka.Codec;

namespace OrleansMq.Tests.Kafka.Connections;

public sealed class AdvertisedAddressProbeTests
{
    private readonly RecordedLog _log = new();

    [Fact]
    public async Task Address_that_cannot_be_reached_is_warned_of()
    {
        await using var probe = Probe(static (_, _, _) => throw new SocketException((int)SocketError.ConnectionRefused));
        probe.Start("broker.example:19092");
        Assert.Contains("broker.example:19092", Assert.Single(_log.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Lookup_that_fails_while_the_broker_stops_is_no_fault_of_the_stop()
    {
        var probe = Probe(static async (_, _, stop) =>
        {
            var stopped = new TaskCompletionSource();
            await using var _ = stop.Register(stopped.SetResult);
            await stopped.Task;
            throw new SocketException((int)SocketError.HostNotFound);
        });
        probe.Start("broker.example:19092");
        await probe.DisposeAsync();
        Assert.Empty(_log.Lines);
    }

    private AdvertisedAddressProbe Probe(Func<string, int, CancellationToken, Task> connect) => new(_log, connect);
}
