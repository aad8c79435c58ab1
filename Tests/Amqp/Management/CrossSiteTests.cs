using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;

namespace OrleansMq.Tests.Amqp.Management;

/// <summary>Pages in a browser of this machine, which know guest's password, and programs, which name the broker as they like.</summary>
public sealed class CrossSiteTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-cross-site").FullName;
    private readonly HttpClient _client = new();

    public void Dispose()
    {
        _client.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [Theory]
    [InlineData("evil.example")]
    [InlineData("evil.example:15672")]
    [InlineData("127.0.0.1.evil.example")]
    [InlineData("localhost.evil.example:15672")]
    [InlineData("notlocalhost")]
    public async Task Page_whose_name_resolves_to_the_broker_changes_and_reads_nothing(string host)
    {
        await using var server = await ManagedServer.StartAsync(_directory);
        foreach (var origin in new[] { null, $"http://{host}" })
        {
            var (status, error) = await SendAsync(server, "PUT", "users/eve", host, origin);
            Assert.Equal((421, "cross_site_request"), (status, error.GetProperty("error").GetString()));
            Assert.Contains(host.Split(':')[0], error.GetProperty("reason").GetString(), StringComparison.Ordinal);
            Assert.Contains("--http-hosts", error.GetProperty("reason").GetString(), StringComparison.Ordinal);
            Assert.Equal(421, (await SendAsync(server, "GET", "users", host, origin)).Status);
        }
        await server.DoAsync(404, "GET", "users/eve");
    }

    [Theory]
    [InlineData("https://evil.example")]
    [InlineData("http://127.0.0.1")]
    [InlineData("https://127.0.0.1:15672")]
    [InlineData("null")]
    public async Task Page_of_another_origin_changes_nothing(string origin)
    {
        await using var server = await ManagedServer.StartAsync(_directory);
        var (status, error) = await SendAsync(server, "PUT", "users/eve", "127.0.0.1:15672", origin);
        Assert.Equal((403, "cross_site_request"), (status, error.GetProperty("error").GetString()));
        Assert.Contains($"'{origin}'", error.GetProperty("reason").GetString(), StringComparison.Ordinal);
        await server.DoAsync(404, "GET", "users/eve");
    }

    [Theory]
    [InlineData("localhost:15672")]
    [InlineData("LocalHost.")]
    [InlineData("127.0.0.1:15672")]
    [InlineData("[::1]:15672")]
    [InlineData("192.0.2.7:15672")]
    [InlineData("rabbit.broker.example:15672")]
    [InlineData("MACHINE")]
    public async Task Program_and_page_of_its_own_origin_are_served_on_every_address_of_the_broker(string host)
    {
        host = host == "MACHINE" ? Dns.GetHostName() : host;
        await using var server = await ManagedServer.StartAsync(_directory, static options => options with
        {
            Listen = new IPEndPoint(IPAddress.Any, 0),
            Hosts = ["*.broker.example"],
        });
        Assert.Equal(201, (await SendAsync(server, "PUT", "users/app", host, origin: null)).Status);
        Assert.Equal(204, (await SendAsync(server, "PUT", "users/app", host, $"http://{host}")).Status);
        Assert.Equal(421, (await SendAsync(server, "PUT", "users/app", "broker.example", origin: null)).Status);
    }

    [Theory]
    [InlineData("cross-site", 403)]
    [InlineData("same-origin", 200)]
    public async Task Page_of_another_site_loads_nothing(string site, int status)
    {
        await using var server = await ManagedServer.StartAsync(_directory);
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri($"http://127.0.0.1:{server.Address.Port}/api/overview"))
        {
            Headers = { { "Sec-Fetch-Site", site }, { "Sec-Fetch-Dest", "image" } },
        };
        request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String("guest:guest"u8));
        using var response = await _client.SendAsync(request);
        Assert.Equal(status, (int)response.StatusCode);
    }

    private async Task<(int Status, JsonElement Body)> SendAsync(ManagedServer server, string method, string path, string host,
        string? origin)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), new Uri($"http://127.0.0.1:{server.Address.Port}/api/{path}"));
        request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String("guest:guest"u8));
        request.Headers.Host = host;
        if (origin is not null)
            request.Headers.Add("Origin", origin);
        if (method == "PUT")
            request.Content = new StringContent("""{"password":"p","tags":"administrator"}""", Encoding.UTF8, "text/plain");
        using var response = await _client.SendAsync(request);
        var text = await response.Content.ReadAsStringAsync();
        return ((int)response.StatusCode, text.Length == 0 ? default : JsonDocument.Parse(text).RootElement);
    }
}
