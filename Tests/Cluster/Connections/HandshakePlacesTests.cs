using System.Net;
using OrleansMq.Connections;
using OrleansMq.Diagnostics;
using OrleansMq.Tests.Engine.Brokers;

namespace OrleansMq.Tests.Cluster.Connections;

public sealed class HandshakePlacesTests
{
    [Fact]
    public void Address_has_a_quarter_of_the_handshakes_and_loopback_all()
    {
        var log = new RecordedLog();
        var places = new HandshakePlaces("gateway", 8, log, TimeProvider.System);
        var (one, other) = (IPAddress.Parse("10.0.0.1"), IPAddress.Parse("10.0.0.2"));
        Assert.True(places.TryEnter(one));
        Assert.True(places.TryEnter(one));
        Assert.False(places.TryEnter(one));
        Assert.StartsWith("A connection to the gateway port from 10.0.0.1 was closed: too many have not completed their TLS handshake yet. "
            + "Allowed are 8, and 2 from that address.", Assert.Single(log.At(EngineLogLevel.Warning)), StringComparison.Ordinal);
        for (var i = 0; i < 6; i++)
            Assert.True(places.TryEnter(IPAddress.Loopback));
        Assert.False(places.TryEnter(other));
        places.Leave(one);
        Assert.True(places.TryEnter(other));
        // One line a minute.
        Assert.Single(log.At(EngineLogLevel.Warning));
    }
}
