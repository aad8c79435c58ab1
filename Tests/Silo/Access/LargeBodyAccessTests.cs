using System.Net;
using System.Net.Http.Headers;
using System.Text;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Silo.Configuration;
using OrleansMq.Tests.Silo.Http;

namespace OrleansMq.Tests.Silo.Access;

/// <summary>What may be sent to a broker that enforces rules before the permission for it is known.</summary>
public sealed class LargeBodyAccessTests : IAsyncLifetime
{
    private const string Join = "POST /api/groups/join HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

    private readonly RunningBroker _broker = new()
    {
        Settings = new BrokerSettings
        {
            Kafka = null,
            Http = new ListenAddress(IPAddress.Loopback, 0),
            AdminPassword = "secret",
        },
    };

    public Task InitializeAsync() => _broker.InitializeAsync();

    public Task DisposeAsync() => _broker.DisposeAsync();

    [Fact]
    public async Task Client_without_credentials_sends_no_large_body()
    {
        // It is refused before it sends anything.
        await using var announced = await RawExchange.SendAsync(_broker, $"{Join}Content-Length: 65536\r\n\r\n");
        Assert.Equal("HTTP/1.1 401", await announced.ReadAsync("HTTP/1.1 401".Length));
        await using var chunked = await RawExchange.SendAsync(_broker,
            $"{Join}Transfer-Encoding: chunked\r\n\r\n{70_000:x}\r\n{new string(' ', 70_000)}");
        Assert.Equal("HTTP/1.1 401", await chunked.ReadAsync("HTTP/1.1 401".Length));

        using var large = await CreateTopicAsync(70_000, credentials: null);
        await RunningBroker.AssertProblemAsync(large, 401, ErrorCode.SaslAuthenticationFailed, "65536");
        using var small = await CreateTopicAsync(60_000, credentials: null);
        await RunningBroker.AssertProblemAsync(small, 401, ErrorCode.TopicAuthorizationFailed, "User:ANONYMOUS");
        using var known = await CreateTopicAsync(70_000, "admin:secret");
        Assert.Equal(HttpStatusCode.Created, known.StatusCode);
    }

    [Fact]
    public async Task Client_that_may_only_describe_a_topic_is_refused_before_it_sends_lines()
    {
        using var admin = new HttpBroker(new Uri(_broker.Server.Address), new HttpBrokerOptions { User = "admin", Password = "secret" });
        await admin.CreateTopicAsync(new NewTopic("orders"));
        await admin.Security.SetPasswordAsync("alice", new PasswordBody("secret"), default);
        await AllowAsync(AccessOperation.Describe);
        await using (var refused = await OpenAsync())
            Assert.StartsWith("HTTP/1.1 403", await refused.ReadHeadAsync(), StringComparison.Ordinal);
        await AllowAsync(AccessOperation.Write);
        await using var allowed = await OpenAsync();
        await allowed.SendAsync("{\"value\": \"one\"}\n");
        Assert.Contains("\"offset\":0", await allowed.ReadLineAsync(), StringComparison.Ordinal);

        ValueTask AllowAsync(AccessOperation operation) => admin.Security.CreateAclsAsync(new CreateAclsBody([
            new AclBody(ResourceType.Topic, "orders", "User:alice", operation)]), default);

        Task<OpenExchange> OpenAsync() =>
            OpenExchange.StartAsync(_broker, "orders", $"Authorization: Basic {Encode("alice:secret")}\r\n");
    }

    private async Task<HttpResponseMessage> CreateTopicAsync(int bytes, string? credentials)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, "/api/topics/orders")
        {
            Content = RunningBroker.Json("{}".PadRight(bytes)),
        };
        if (credentials is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Encode(credentials));
        return await _broker.Http.SendAsync(request);
    }

    private static string Encode(string credentials) => Convert.ToBase64String(Encoding.UTF8.GetBytes(credentials));
}
