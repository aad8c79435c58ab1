using System.Net;
using OrleansMq.Diagnostics;
using OrleansMq.Security;
using OrleansMq.Tests.Engine.Brokers;

namespace OrleansMq.Tests.Engine.Security;

/// <summary>The bound of connections that have not authenticated.</summary>
public sealed class UnauthenticatedConnectionsTests
{
    [Fact]
    public void One_address_has_a_quarter_of_the_places_and_loopback_all()
    {
        var log = new RecordedLog();
        var places = new UnauthenticatedConnections("silo", 8, log, TimeProvider.System, "completed their TLS handshake");
        var (one, other) = (IPAddress.Parse("10.0.0.1"), IPAddress.Parse("10.0.0.2"));
        using var first = places.Enter(one);
        var second = places.Enter(one)!;
        Assert.Null(places.Enter(one));
        Assert.StartsWith("A silo connection from 10.0.0.1 was closed: too many have not completed their TLS handshake yet. Allowed are 8, "
            + "and 2 from that address.", Assert.Single(log.At(EngineLogLevel.Warning)), StringComparison.Ordinal);
        Assert.NotNull(places.Enter(other));
        second.Dispose();
        second.Dispose();
        Assert.NotNull(places.Enter(one));
        for (var count = 0; count < 5; count++)
            Assert.NotNull(places.Enter(IPAddress.Loopback));
        Assert.Null(places.Enter(IPAddress.Loopback));
        Assert.Equal(8, places.Count);
        // One line a minute.
        Assert.Single(log.At(EngineLogLevel.Warning));
    }
}
