using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using OrleansMq.Compression;
using OrleansMq.Records;
using OrleansMq.Tls;

namespace OrleansMq.Gateways.Http;

/// <summary>The options of an HTTP gateway.</summary>
public sealed record HttpGatewayOptions
{
    /// <summary>The endpoint to listen on: port 8080 of the loopback address. Port 0 takes a free port. The IPv6 any address includes
    /// IPv4.</summary>
    public IPEndPoint Listen { get; init; } = new(IPAddress.Loopback, 8080);

    /// <summary>The certificates with which the port speaks TLS; null: it does not.</summary>
    public TlsOptions? Tls { get; init; }

    /// <summary>
    /// The host names by which clients may address the API: <c>broker-1</c>, <c>*.example.com</c>, or <c>*</c> for all. Localhost, the
    /// machine's name and every IP address are always allowed. A request for another host is refused, since it may come from a web page
    /// that has its own name resolve to this broker.
    /// </summary>
    public IReadOnlyList<string> Hosts { get; init; } = [];

    /// <summary>The most connections; further ones are closed. A quarter of them may come from one address, and all from the loopback
    /// address. Null: no limit.</summary>
    public int? MaxConnections { get; init; }

    /// <summary>The codecs that records are compressed and read with: all of OrleansMq's.</summary>
    public CompressionCodecs Codecs { get; init; } = StandardCodecs.All;

    /// <summary>How long requests in flight may take when the gateway stops: 30 s.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The data directory, whose free space the metrics report; null: they do not.</summary>
    public string? DataDirectory { get; init; }

    /// <summary>Free bytes of the data volume below which a failed write is reported as a full disk: 256 MiB.</summary>
    public long MinFreeBytes { get; init; } = 256L << 20;

    /// <summary>Whether anyone may read <c>/metrics</c>, also where access control is switched on: false. They name topics and
    /// groups.</summary>
    public bool MetricsAreOpen { get; init; }

    /// <summary>The host that the metrics name: <c>cluster</c> or <c>standalone</c>.</summary>
    internal string Flavour { get; init; } = "cluster";

    /// <summary>The bytes that large bodies take together.</summary>
    internal long BodyBytes { get; init; } = RequestBodies.DefaultBytes;

    /// <summary>The clock of the pace at which large bodies arrive, and of their waits for memory.</summary>
    internal TimeProvider BodyClock { get; init; } = TimeProvider.System;

    /// <summary>Where log lines go.</summary>
    internal ILoggerFactory LoggerFactory { get; init; } = NullLoggerFactory.Instance;
}
