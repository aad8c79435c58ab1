using System.Net;
using Microsoft.Extensions.Hosting;
using OrleansMq.Connections;
using OrleansMq.Tests.Shared;
using OrleansMq.Tls;

namespace OrleansMq.Tests.Cluster.Connections;

public sealed class ClusterTlsOptionsTests : IDisposable
{
    private readonly TestCertificateFiles _files = new();
    private readonly ClusterTlsOptions _options;

    public ClusterTlsOptionsTests() =>
        _options = new ClusterTlsOptions { Certificate = _files.Write(_files.Authority.IssueMember()), Authorities = _files.AuthorityFile };

    public void Dispose() => _files.Dispose();

    [Fact]
    public void Process_has_one_certificate_for_its_cluster()
    {
        var twice = Assert.Throws<InvalidOperationException>(() => Host.CreateApplicationBuilder().UseOrleansClient(client =>
            client.UseLocalhostClustering().UseClusterTls(_options).UseClusterTls(_options)));
        Assert.Contains("has it already", twice.Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => Host.CreateApplicationBuilder().UseOrleans(silo =>
            silo.UseLocalhostClustering().UseClusterTls(_options).UseClusterTls(_options)));
    }

    [Fact]
    public async Task Start_fails_where_a_file_cannot_be_used()
    {
        var builder = Host.CreateApplicationBuilder();
        builder.UseOrleansClient(client =>
        {
            client.UseStaticClustering(new IPEndPoint(IPAddress.Loopback, FreePort.Choose()));
            client.UseClusterTls(_options with { Authorities = _files.PathOf("none.pem") });
        });
        using var host = builder.Build();
        var refused = await Assert.ThrowsAsync<TlsConfigurationException>(() => host.StartAsync());
        Assert.Contains("none.pem", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Silo_whose_file_cannot_be_used_does_not_start()
    {
        var builder = Host.CreateApplicationBuilder();
        builder.UseOrleans(silo => silo.UseLocalhostClustering(FreePort.Choose(), FreePort.Choose())
            .UseClusterTls(_options with { Certificate = new TlsCertificate(_files.PathOf("none.pem")) }));
        using var host = builder.Build();
        var refused = await Assert.ThrowsAsync<TlsConfigurationException>(() => host.StartAsync());
        Assert.Contains("none.pem", refused.Message, StringComparison.Ordinal);
    }
}
