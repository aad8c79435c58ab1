using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using OrleansMq.Tests.Shared;
using RabbitMQ.Client;
using OrleansMq.Tls;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>RabbitMQ's .NET client over TLS.</summary>
public sealed class TlsTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-amqp").FullName;
    private readonly TestCertificateFiles _files = new();

    public void Dispose()
    {
        _files.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Messages_of_every_size_round_trip_with_a_client_certificate()
    {
        await using var broker = await RunningGateway.StartAsync(_directory,
            configure: options => options with { Tls = _files.Server(ClientAuthentication.Required) });
        await using (var connection = await ConnectAsync(broker, _files.Authority.IssueClient("CN=alice")))
        {
            await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(true, true));
            await channel.QueueDeclareAsync("orders", durable: true, exclusive: false, autoDelete: false);
            var bodies = new[] { 1, 100_000, 16_384, 1_000_000 }.Select(static size => new byte[size]).ToArray();
            foreach (var body in bodies)
            {
                Random.Shared.NextBytes(body);
                await channel.BasicPublishAsync("", "orders", body);
            }
            foreach (var body in bodies)
                Assert.True((await channel.BasicGetAsync("orders", autoAck: true))!.Body.Span.SequenceEqual(body));
            await connection.CloseAsync();
        }
        await Assert.ThrowsAnyAsync<Exception>(() => ConnectAsync(broker, null));
        // The client learns it first.
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!broker.Log.Lines.Any(static line => line.Contains("TLS", StringComparison.Ordinal)))
            await Task.Delay(10, patience.Token);
        var line = Assert.Single(broker.Log.Lines, static line => line.Contains("TLS", StringComparison.Ordinal));
        Assert.Contains("The AMQP connection from 127.0.0.1", line, StringComparison.Ordinal);
        Assert.Contains("the client has no certificate", line, StringComparison.Ordinal);
    }

    private Task<IConnection> ConnectAsync(RunningGateway broker, X509Certificate2? certificate) => new ConnectionFactory
    {
        HostName = "127.0.0.1",
        Port = broker.Port,
        Ssl = new SslOption("localhost")
        {
            Enabled = true,
            CertificateSelectionCallback = certificate is null ? null : (_, _, _, _, _) => certificate,
            CertificateValidationCallback = (_, shown, _, errors) => IsTrusted(shown, errors),
        },
    }.Patient().CreateConnectionAsync();

    private bool IsTrusted(X509Certificate? shown, SslPolicyErrors errors)
    {
        if (shown is null || (errors & SslPolicyErrors.RemoteCertificateNameMismatch) != 0)
            return false;
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.Add(_files.Authority.Certificate);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        return chain.Build(X509CertificateLoader.LoadCertificate(shown.GetRawCertData()));
    }
}
