using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using Orleans.Runtime.Messaging;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Connections;
using OrleansMq.Grains.Hosting;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;
using OrleansMq.Tls;
using RecordedLines = OrleansMq.Tests.Client.RecordedLog;

namespace OrleansMq.Tests.Cluster.Connections;

/// <summary>Silos of one's own, and Orleans clients, with TLS: they serve each other, strangers are refused at both ports, and all files
/// are replaced under a writing client.</summary>
public sealed class ClusterTlsTests : ReplicatedClusterTests, IDisposable
{
    private const string Topic = "orders";
    private const int Records = 20;
    private const string Refusal = "The TLS handshake with the silo or Orleans client at";

    private readonly TestCertificateFiles _files = new();
    private readonly TestAuthority _next = new("Next root");
    private readonly RecordedLines _lines = new();
    // The authorities of silos and clients, and those of a client that looks who is let in.
    private readonly string _authorities;
    private readonly string _both;
    private readonly ClusterTlsOptions _silos;

    public ClusterTlsTests(PostgreSqlFixture postgres) : base(postgres)
    {
        _authorities = _files.AuthorityFile;
        _both = _files.Write("both.pem", _files.Authority.Pem + "\n" + _next.Pem);
        _silos = OptionsOf(_files.Authority, "silo");
    }

    public void Dispose()
    {
        _next.Dispose();
        _files.Dispose();
    }

    private protected override void ConfigureSilo(ISiloBuilder silo)
    {
        silo.ConfigureLogging(logging => logging.AddProvider(_lines));
        silo.UseClusterTls(_silos);
    }

    [SkippableFact]
    public async Task Strangers_are_refused_by_silos_and_gateways()
    {
        using var other = new TestAuthority("Another root");
        using var stranger = other.IssueMember();
        // Each silo tells of one refusal a minute.
        await RefusesAsync(SiloOf(1), null, "the client has no certificate");
        await RefusesAsync(SiloOf(2), stranger, "is not trusted");
        await RefusesAsync(GatewayOf(3), null, "the client has no certificate");
        await RefusesAsync(GatewayOf(1), stranger, null);
        await RefusesAsync(GatewayOf(2), null, null);
        await RefusesAsync(SiloOf(3), stranger, null);
        await RefusesPlainAsync(SiloOf(1));
        await RefusesPlainAsync(GatewayOf(1));

        Assert.False(await ConnectsAsync(GatewayOf(1), null));
        Assert.False(await ConnectsAsync(GatewayOf(1), OptionsOf(other, "stranger")));
        Assert.True(await ConnectsAsync(GatewayOf(1), OptionsOf(_files.Authority, "client")));
    }

    [SkippableFact]
    public async Task Certificates_and_the_authority_are_replaced_under_a_writing_client()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(Topic, 3, 3));
        await Cluster.UntilInSyncAsync(Topic);
        var (oldProbe, newProbe) = (OptionsOf(_files.Authority, "old", _both), OptionsOf(_next, "new", _both));
        using var client = await ConnectAsync(OptionsOf(_files.Authority, "client"), [.. Cluster.Running.Select(GatewayOf)]);
        await using var producer = client.Services.GetRequiredService<OrleansMqClient>().CreateProducer<Ignore, int>();
        var sent = 0;

        await SendAsync();
        _files.Write("ca.pem", _files.Authority.Pem + "\n" + _next.Pem);
        foreach (var broker in Cluster.Running)
            await Wait.UntilAsync(() => ConnectsAsync(GatewayOf(broker), newProbe), "the new authority is trusted beside the old one");
        await SendAsync();
        foreach (var name in new[] { "silo", "client" })
            WriteMember(_next, name);
        foreach (var broker in Cluster.Running)
            await Wait.UntilAsync(async () => await IssuerAtAsync(SiloOf(broker)) == _next.Certificate.Subject
                && await IssuerAtAsync(GatewayOf(broker)) == _next.Certificate.Subject, "the new certificate is shown");
        await SendAsync();
        _files.Write("ca.pem", _next.Pem);
        foreach (var broker in Cluster.Running)
            await Wait.UntilAsync(async () => !await ConnectsAsync(GatewayOf(broker), oldProbe), "the old authority is trusted no more");
        await SendAsync();
        // It connects with the others anew, in both directions.
        await Cluster.StopAsync(2);
        await Cluster.StartAsync(2);
        await Cluster.SettleAsync();
        await Cluster.UntilInSyncAsync(Topic);
        await SendAsync();

        Assert.True(await ConnectsAsync(GatewayOf(2), newProbe));
        Assert.Equal(Enumerable.Range(0, sent), await ReadAllAsync(client, sent));
        await client.StopAsync();

        async Task SendAsync()
        {
            for (var i = 0; i < Records; i++)
                await producer.SendAsync(new ProducerRecord<Ignore, int>(Topic, default, sent++));
        }
    }

    private ClusterTlsOptions OptionsOf(TestAuthority authority, string name, string? authorities = null) =>
        new() { Certificate = WriteMember(authority, name), Authorities = authorities ?? _authorities };

    private TlsCertificate WriteMember(TestAuthority authority, string name)
    {
        using var certificate = authority.IssueMember();
        // One file: certificate and key are replaced at once.
        return new TlsCertificate(_files.Write($"{name}.pem",
            certificate.ExportCertificatePem() + "\n" + TestCertificateFiles.KeyOf(certificate)));
    }

    private IReadOnlyList<string> Refusals => _lines.At(LogLevel.Warning);

    private IPEndPoint SiloOf(int broker) => Cluster.Get<ILocalSiloDetails>(broker).SiloAddress.Endpoint;

    private IPEndPoint GatewayOf(int broker) => Cluster.Get<ILocalSiloDetails>(broker).GatewayAddress.Endpoint;

    private async Task RefusesAsync(IPEndPoint port, X509Certificate2? certificate, string? reason)
    {
        using var socket = new TcpClient();
        await socket.ConnectAsync(port).WaitAsync(Wait.Deadline);
        var self = $"127.0.0.1:{((IPEndPoint)socket.Client.LocalEndPoint!).Port}";
        await using var stream = new SslStream(socket.GetStream());
        Assert.True(await IsEndedAsync(stream, () => stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            ClientCertificates = certificate is null ? null : [certificate],
            RemoteCertificateValidationCallback = static (_, _, _, _) => true,
        })));
        if (reason is null)
            return;
        bool IsTold() => Refusals.Any(line => line.StartsWith($"{Refusal} {self} failed", StringComparison.Ordinal)
            && line.Contains(reason, StringComparison.Ordinal));
        await Wait.UntilAsync(() => Task.FromResult(IsTold()), $"the refusal of {self} is logged: {reason}",
            () => Task.FromResult(string.Join('\n', Refusals)));
    }

    private static async Task RefusesPlainAsync(IPEndPoint port)
    {
        using var socket = new TcpClient();
        await socket.ConnectAsync(port).WaitAsync(Wait.Deadline);
        var stream = socket.GetStream();
        Assert.True(await IsEndedAsync(stream, async () => await stream.WriteAsync(new byte[100])));
    }

    // Whether the other side ends a connection without having answered but TLS' own alert.
    private static async Task<bool> IsEndedAsync(Stream stream, Func<Task> begin)
    {
        try
        {
            await begin().WaitAsync(Wait.Deadline);
            // A TLS alert is no answer either.
            var buffer = new byte[1000];
            while (await stream.ReadAsync(buffer).AsTask().WaitAsync(Wait.Deadline) > 0)
            {
                if (stream is SslStream)
                    return false;
            }
            return true;
        }
        catch (Exception ended) when (ended is IOException or AuthenticationException)
        {
            return true;
        }
    }

    private static async Task<string?> IssuerAtAsync(IPEndPoint port)
    {
        string? issuer = null;
        using var socket = new TcpClient();
        await socket.ConnectAsync(port).WaitAsync(Wait.Deadline);
        await using var stream = new SslStream(socket.GetStream());
        try
        {
            await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
            {
                TargetHost = "localhost",
                RemoteCertificateValidationCallback = (_, certificate, _, _) =>
                {
                    issuer = certificate?.Issuer;
                    return true;
                },
            }).WaitAsync(Wait.Deadline);
        }
        catch (Exception refused) when (refused is IOException or AuthenticationException)
        {
            // This client has no certificate.
        }
        return issuer;
    }

    private static async Task<bool> ConnectsAsync(IPEndPoint gateway, ClusterTlsOptions? options)
    {
        try
        {
            using var host = await ConnectAsync(options, [gateway]);
            await host.StopAsync();
            return true;
        }
        catch (Exception refused) when (refused is ConnectionFailedException or SiloUnavailableException)
        {
            return false;
        }
    }

    private static async Task<IHost> ConnectAsync(ClusterTlsOptions? options, IPEndPoint[] gateways)
    {
        var identity = new BrokerClusterOptions().ClusterId;
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.UseOrleansClient(client =>
        {
            client.UseStaticClustering(gateways).Configure<ClusterOptions>(cluster =>
                cluster.ClusterId = cluster.ServiceId = identity);
            if (options is not null)
                client.UseClusterTls(options);
            client.UseConnectionRetryFilter(static (_, _) => Task.FromResult(false)).AddOrleansMqClient();
        });
        var host = builder.Build();
        try
        {
            await host.StartAsync();
            return host;
        }
        catch
        {
            host.Dispose();
            throw;
        }
    }

    private static async Task<List<int>> ReadAllAsync(IHost client, int count)
    {
        await using var reader = client.Services.GetRequiredService<OrleansMqClient>().CreatePartitionReader<Ignore, int>();
        reader.Assign(Enumerable.Range(0, 3).Select(static partition => new TopicPartition(Topic, partition)), ReadFrom.Earliest);
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        var all = new List<int>();
        while (all.Count < count)
            all.Add((await reader.ReadAsync(deadline.Token)).Value);
        all.Sort();
        return all;
    }
}
