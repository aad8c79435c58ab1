using System.Net;
using System.Net.Http.Headers;
using System.Text;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Security;
using OrleansMq.Silo.Configuration;
using OrleansMq.Tests.Shared;
using OrleansMq.Tests.Silo.Http;

namespace OrleansMq.Tests.Silo.Access;

/// <summary>Users over HTTP: who they are, what they may do, and how they are administered.</summary>
public sealed class HttpAuthenticationTests : IAsyncLifetime
{
    private const string AdminPassword = "admin: the password";

    private readonly RunningBroker _broker = new()
    {
        Settings = new BrokerSettings
        {
            Kafka = null,
            Http = new ListenAddress(IPAddress.Loopback, 0),
            AdminPassword = AdminPassword,
        },
    };

    public Task InitializeAsync() => _broker.InitializeAsync();

    public Task DisposeAsync() => _broker.DisposeAsync();

    [Fact]
    public async Task Client_without_credentials_is_asked_for_them()
    {
        using var response = await _broker.Http.PutAsync("/api/topics/orders", RunningBroker.Json("{}"));
        await RunningBroker.AssertProblemAsync(response, 401, ErrorCode.TopicAuthorizationFailed, "User:ANONYMOUS");
        Assert.Equal("Basic", Assert.Single(response.Headers.WwwAuthenticate).Scheme);
        using var health = await _broker.Http.GetAsync("/healthz");
        Assert.Equal(HttpStatusCode.OK, health.StatusCode);
        using var metrics = await _broker.Http.GetAsync("/metrics");
        await RunningBroker.AssertProblemAsync(metrics, 401, ErrorCode.ClusterAuthorizationFailed);
        Assert.Equal("[]", await _broker.Http.GetStringAsync("/api/topics"));
    }

    [Theory]
    [InlineData("Basic", "admin:wrong")]
    [InlineData("Basic", "nobody:secret")]
    [InlineData("Basic", "admin")]
    [InlineData("Basic", ":secret")]
    [InlineData("Bearer", "admin:admin: the password")]
    public async Task Wrong_credentials_are_refused_whatever_is_asked(string scheme, string credentials)
    {
        using var request = Request(HttpMethod.Get, "/api/topics");
        request.Headers.Authorization = new AuthenticationHeaderValue(scheme, Convert.ToBase64String(Encoding.UTF8.GetBytes(credentials)));
        using var response = await _broker.Http.SendAsync(request);
        await RunningBroker.AssertProblemAsync(response, 401, ErrorCode.SaslAuthenticationFailed);
        Assert.DoesNotContain("secret", _broker.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Header_that_is_no_base64_is_refused()
    {
        using var request = Request(HttpMethod.Get, "/api/topics");
        request.Headers.TryAddWithoutValidation("Authorization", "Basic !!!");
        using var response = await _broker.Http.SendAsync(request);
        await RunningBroker.AssertProblemAsync(response, 401, ErrorCode.SaslAuthenticationFailed);
    }

    [Fact]
    public async Task User_may_do_what_rules_allow_from_then_on()
    {
        using var admin = Connect("admin", AdminPassword);
        await admin.CreateTopicAsync(new NewTopic("orders"));
        await admin.CreateTopicAsync(new NewTopic("secrets"));
        await admin.Security.SetPasswordAsync("alice", new PasswordBody("secret"), default);
        using var alice = Connect("alice", "secret");
        Assert.Empty(await alice.ListTopicsAsync());
        await AssertRefusedAsync(ErrorCode.TopicAuthorizationFailed, () => alice.DescribeTopicAsync("orders").AsTask());

        await admin.Security.CreateAclsAsync(new CreateAclsBody([new AclBody(ResourceType.Topic, "orders", "User:alice",
            AccessOperation.Read)]), default);
        Assert.Equal(["orders"], (await alice.ListTopicsAsync()).Select(static topic => topic.Name));
        var explained = await admin.Security.ExplainAsync(new ExplainBody("User:alice", AccessOperation.Write,
            ResourceType.Topic, "orders"), default);
        Assert.Equal((false, AclReason.NoMatch, AuthorizationMode.Enforce),
            (explained.IsAllowed, explained.Reason, explained.Authorization));
        await AssertRefusedAsync(ErrorCode.ClusterAuthorizationFailed, async () => await alice.Security.ListUsersAsync(default));

        Assert.Single(await admin.Security.DeleteAclsAsync(new AclFiltersBody([new AclFilterBody(Principal: "User:alice")]), default));
        await AssertRefusedAsync(ErrorCode.TopicAuthorizationFailed, () => alice.DescribeTopicAsync("orders").AsTask());
    }

    [Fact]
    public async Task Refusals_and_changes_are_logged_and_counted()
    {
        using var admin = Connect("admin", AdminPassword);
        await admin.Security.SetPasswordAsync("alice", new PasswordBody("secret"), default);
        await admin.Security.CreateAclsAsync(new CreateAclsBody([new AclBody(ResourceType.Topic, "orders", "User:alice",
            AccessOperation.Read)]), default);
        using var alice = Connect("alice", "secret");
        await AssertRefusedAsync(ErrorCode.TopicAuthorizationFailed, async () => await alice.CreateTopicAsync(new NewTopic("orders")));
        using var wrong = Connect("alice", "wrong");
        await AssertRefusedAsync(ErrorCode.SaslAuthenticationFailed, async () => await wrong.ListTopicsAsync());
        using var request = Request(HttpMethod.Get, "/metrics");
        Authorize(request, "admin", AdminPassword);
        using var response = await _broker.Http.SendAsync(request);
        var metrics = await response.Content.ReadAsStringAsync();
        Assert.Contains("orleansmq_access_denied_total{operation=\"Create\",resource=\"Topic\"} 1\n", metrics, StringComparison.Ordinal);
        Assert.Contains("orleansmq_access_authentication_failures_total{protocol=\"Http\"} 1\n", metrics, StringComparison.Ordinal);
        Assert.DoesNotContain("orleansmq_access_warned_total{", metrics, StringComparison.Ordinal);
        Assert.Contains("Refused: User:alice at '127.0.0.1' (Http, client '') may not Create Topic 'orders'.", _broker.Log,
            StringComparison.Ordinal);
        Assert.Contains("User:admin at '127.0.0.1' (Http) changed the password of user 'alice'.", _broker.Log, StringComparison.Ordinal);
        Assert.Contains("User:admin at '127.0.0.1' (Http) created the rule: Allow User:alice Read on Topic 'orders' from *.", _broker.Log,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Stream_of_a_deleted_user_ends_with_its_next_record()
    {
        using var admin = Connect("admin", AdminPassword);
        await admin.CreateTopicAsync(new NewTopic("orders"));
        await admin.Security.SetPasswordAsync("alice", new PasswordBody("secret"), default);
        await admin.Security.CreateAclsAsync(new CreateAclsBody([new AclBody(ResourceType.Topic, "orders", "User:alice",
            AccessOperation.Write)]), default);
        await using var stream = await OpenExchange.StartAsync(_broker, "orders", $"Authorization: Basic "
            + $"{Convert.ToBase64String(Encoding.UTF8.GetBytes("alice:secret"))}\r\n");
        await stream.SendAsync("{\"value\": \"one\"}\n");
        Assert.Contains("\"offset\":0", await stream.ReadLineAsync(), StringComparison.Ordinal);
        // Its password is another matter: the stream has begun.
        await admin.Security.SetPasswordAsync("alice", new PasswordBody("changed"), default);
        await stream.SendAsync("{\"value\": \"two\"}\n");
        Assert.Contains("\"offset\":1", await stream.ReadLineAsync(), StringComparison.Ordinal);
        await admin.Security.DeleteUserAsync("alice", default);
        await stream.SendAsync("{\"value\": \"three\"}\n");
        var refusal = await stream.ReadLineAsync();
        Assert.Contains("TopicAuthorizationFailed", refusal, StringComparison.Ordinal);
        Assert.Contains("authenticate again", refusal, StringComparison.Ordinal);
        // One who comes back by that name goes on with a stream of its own.
        await admin.Security.SetPasswordAsync("alice", new PasswordBody("again"), default);
        await stream.SendAsync("{\"value\": \"four\"}\n");
        Assert.DoesNotContain("\"offset\":2", await stream.ReadLineAsync() ?? "", StringComparison.Ordinal);
        using var alice = Connect("alice", "again");
        Assert.Equal("orders", Assert.Single(await alice.ListTopicsAsync()).Name);
    }

    [Fact]
    public async Task Changed_password_and_deleted_user_hold_for_open_connections()
    {
        using var admin = Connect("admin", AdminPassword);
        await admin.Security.SetPasswordAsync("a/b ü", new PasswordBody("old"), default);
        using var user = Connect("a/b ü", "old");
        Assert.Empty(await user.ListTopicsAsync());
        await admin.Security.SetPasswordAsync("a/b ü", new PasswordBody("new"), default);
        await AssertRefusedAsync(ErrorCode.SaslAuthenticationFailed, async () => await user.ListTopicsAsync());
        using var again = Connect("a/b ü", "new");
        Assert.Empty(await again.ListTopicsAsync());
        Assert.Equal(["a/b ü", "admin"], (await admin.Security.ListUsersAsync(default)).Select(static one => one.Name));
        await admin.Security.DeleteUserAsync("a/b ü", default);
        await AssertRefusedAsync(ErrorCode.SaslAuthenticationFailed, async () => await again.ListTopicsAsync());
        await AssertRefusedAsync(ErrorCode.ResourceNotFound, async () => await admin.Security.DeleteUserAsync("a/b ü", default));
    }

    [Theory]
    [InlineData("PUT", "/api/users/alice", """{"password": ""}""", "password")]
    [InlineData("PUT", "/api/users/alice", """{"password": "x", "iterations": 100}""", "4096")]
    [InlineData("PUT", "/api/users/alice", """{"password": null}""", "password")]
    [InlineData("PUT", "/api/users/alice", "{}", "password")]
    [InlineData("POST", "/api/acls",
        """{"rules": [{"principal": "alice", "operation": "Read", "resourceType": "Topic", "resourceName": "x"}]}""", "User:alice")]
    [InlineData("POST", "/api/acls", """{"rules": [null]}""", "rules")]
    [InlineData("POST", "/api/acls",
        """{"rules": [{"principal": "User:a", "operation": "Fly", "resourceType": "Topic", "resourceName": "x"}]}""", "operation")]
    [InlineData("POST", "/api/acls/delete", "{}", "filters")]
    public async Task Malformed_request_names_the_field(string method, string path, string body, string named)
    {
        using var request = Request(new HttpMethod(method), path);
        request.Content = RunningBroker.Json(body);
        Authorize(request, "admin", AdminPassword);
        using var response = await _broker.Http.SendAsync(request);
        await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, named);
    }

    [Fact]
    public async Task Admin_keeps_its_changed_password_over_a_restart()
    {
        using (var admin = Connect("admin", AdminPassword))
            await admin.Security.SetPasswordAsync("admin", new PasswordBody("changed"), default);
        var again = await _broker.RestartAsync();
        using (var admin = new HttpBroker(new Uri(again.Server.Address), new HttpBrokerOptions { User = "admin", Password = "changed" }))
            await admin.CreateTopicAsync(new NewTopic("orders"));
        await again.DisposeAsync();
    }

    [Fact]
    public async Task Token_of_the_issuer_names_the_client_of_each_request()
    {
        using var issuer = new TokenIssuer();
        var keys = Path.GetTempFileName();
        await File.WriteAllTextAsync(keys, issuer.Keys);
        var broker = new RunningBroker
        {
            Settings = _broker.Settings with
            {
                OAuthBearerJwks = keys,
                OAuthBearerIssuer = TokenIssuer.Issuer,
                OAuthBearerAudiences = [TokenIssuer.Audience],
            },
        };
        await broker.InitializeAsync();
        var token = issuer.Issue("admin");
        using var client = new HttpBroker(new Uri(broker.Server.Address), new HttpBrokerOptions { Token = () => token });
        await client.CreateTopicAsync(new NewTopic("orders"));
        token = issuer.Issue("alice");
        Assert.Empty(await client.ListTopicsAsync());
        await AssertRefusedAsync(ErrorCode.TopicAuthorizationFailed, () => client.DescribeTopicAsync("orders").AsTask());
        token = issuer.Issue("admin", DateTime.UtcNow.AddSeconds(-1));
        await AssertRefusedAsync(ErrorCode.SaslAuthenticationFailed, async () => await client.ListTopicsAsync());
        Assert.Equal(["realm=\"OrleansMq\", charset=\"UTF-8\"", "realm=\"OrleansMq\", error=\"invalid_token\""],
            await ChallengesAsync(new AuthenticationHeaderValue("Bearer", token)));
        Assert.Equal(["realm=\"OrleansMq\", charset=\"UTF-8\"", "realm=\"OrleansMq\""], await ChallengesAsync(null));
        Assert.Equal(["realm=\"OrleansMq\", charset=\"UTF-8\"", "realm=\"OrleansMq\""],
            await ChallengesAsync(new AuthenticationHeaderValue("Basic", "!!!")));
        // One that is accepted is remembered no longer than it is valid.
        token = issuer.Issue("admin", DateTime.UtcNow.AddSeconds(2));
        using var patience = new CancellationTokenSource(RunningBroker.Patience);
        while ((await OutcomeAsync()) is null)
            await Task.Delay(TimeSpan.FromMilliseconds(50), patience.Token);
        Assert.Equal(ErrorCode.SaslAuthenticationFailed, await OutcomeAsync());
        await broker.DisposeAsync();
        File.Delete(keys);

        // The parameters of Basic, then those of Bearer.
        async Task<IEnumerable<string?>> ChallengesAsync(AuthenticationHeaderValue? credentials)
        {
            using var request = Request(HttpMethod.Put, "/api/topics/payments");
            request.Headers.Authorization = credentials;
            request.Content = RunningBroker.Json("{}");
            using var response = await broker.Http.SendAsync(request);
            Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
            // Each has a line of its own: clients need not split one.
            Assert.Equal(2, response.Headers.NonValidated["WWW-Authenticate"].Count);
            Assert.Equal(["Basic", "Bearer"], response.Headers.WwwAuthenticate.Select(static one => one.Scheme));
            return response.Headers.WwwAuthenticate.Select(static one => one.Parameter).ToArray();
        }

        async Task<ErrorCode?> OutcomeAsync()
        {
            try
            {
                Assert.Single(await client.ListTopicsAsync());
                return null;
            }
            catch (BrokerException refused)
            {
                return refused.Code;
            }
        }
    }

    [Fact]
    public void Client_has_a_user_or_a_token() => Assert.Throws<ArgumentException>(() =>
        new HttpBroker(new Uri("http://localhost"), new HttpBrokerOptions { User = "alice", Token = () => "token" }));

    private static HttpRequestMessage Request(HttpMethod method, string path) => new(method, path);

    private static void Authorize(HttpRequestMessage request, string user, string password) => request.Headers.Authorization =
        new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{user}:{password}")));

    private HttpBroker Connect(string user, string password) =>
        new(new Uri(_broker.Server.Address), new HttpBrokerOptions { User = user, Password = password });

    private static async Task AssertRefusedAsync(ErrorCode code, Func<Task> call) =>
        Assert.Equal(code, (await Assert.ThrowsAsync<BrokerException>(call)).Code);
}
