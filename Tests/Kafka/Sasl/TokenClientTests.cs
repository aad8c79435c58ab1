using System.Text;
using Confluent.Kafka;
using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Gateways.Tokens;
using OrleansMq.Tests.Kafka.Codec;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;
using static OrleansMq.Tests.Kafka.Sasl.SaslWireTests;

namespace OrleansMq.Tests.Kafka.Sasl;

/// <summary>Clients authenticate with tokens.</summary>
public sealed class TokenClientTests : IAsyncLifetime
{
    private const string Refusal = """{"status":"invalid_token"}""";

    private readonly TokenIssuer _issuer = new();
    private readonly string _keys = Path.GetTempFileName();
    private KafkaServer _server = null!;

    public async Task InitializeAsync()
    {
        await File.WriteAllTextAsync(_keys, _issuer.Keys);
        var tokens = new TokenOptions { Keys = _keys, Issuer = TokenIssuer.Issuer, Audiences = [TokenIssuer.Audience] };
        _server = await SaslServer.StartAsync(static options => options with { FailedAuthenticationDelay = TimeSpan.FromMilliseconds(1) },
            security => security with { Tokens = () => new JwtVerifier(tokens, TimeProvider.System, new RecordedLog()) });
    }

    public async Task DisposeAsync()
    {
        await _server.DisposeAsync();
        _issuer.Dispose();
        File.Delete(_keys);
    }

    [Theory]
    [InlineData("n,,", "")]
    [InlineData("n,a=alice,", "traceId=7\u0001")]
    public async Task Client_with_a_token_has_the_principal_that_it_names_until_it_expires(string header, string extension)
    {
        using var client = await _server.ConnectAsync();
        await BeginAsync(client);
        var (error, answer, lifetime) = await SendAsync(client, Message(_issuer.Issue("alice", DateTime.UtcNow.AddMinutes(2)), header,
            extension));
        Assert.Equal(ErrorCode.None, error);
        Assert.Empty(answer);
        Assert.InRange(lifetime, 100_000, 120_000);
        Assert.Equal(ErrorCode.ClusterAuthorizationFailed, await ListReassignmentsAsync(client));
        await _server.AllowAsync("alice", ResourceType.Cluster, ResourceTypes.Cluster, AccessOperation.Describe);
        Assert.Equal(ErrorCode.None, await ListReassignmentsAsync(client));
        // A user of that name is another matter.
        await _server.AddUserAsync("alice", "secret");
        Assert.Equal(ErrorCode.None, await ListReassignmentsAsync(client));
    }

    [Fact]
    public async Task Refused_token_is_answered_with_its_status_and_ends_the_connection()
    {
        using var client = await _server.ConnectAsync();
        await BeginAsync(client);
        var refused = await SendAsync(client, Message(_issuer.Issue("alice", DateTime.UtcNow.AddMinutes(-1))));
        Assert.Equal((ErrorCode.None, Refusal), (refused.Error, Encoding.UTF8.GetString(refused.Bytes)));
        Assert.Equal(1, _server.Broker.Access.Meter.Denials.FailedOver(SessionProtocol.Kafka));
        Assert.Equal(ErrorCode.SaslAuthenticationFailed, (await SendAsync(client, [1])).Error);
        Assert.Null(await client.ReceiveAsync());
        Assert.Equal(1, _server.Broker.Access.Meter.Denials.FailedOver(SessionProtocol.Kafka));
    }

    [Fact]
    public async Task Refused_token_cannot_be_followed_by_another()
    {
        using var client = await _server.ConnectAsync();
        await BeginAsync(client);
        await SendAsync(client, Message("wrong"));
        Assert.Equal(ErrorCode.SaslAuthenticationFailed, (await SendAsync(client, Message(_issuer.Issue("alice")))).Error);
        Assert.Null(await client.ReceiveAsync());
    }

    [Fact]
    public async Task Token_does_not_let_a_client_act_as_another()
    {
        using var client = await _server.ConnectAsync();
        await BeginAsync(client);
        var answer = await SendAsync(client, Message(_issuer.Issue("alice"), "n,a=admin,"));
        Assert.Equal(Refusal, Encoding.UTF8.GetString(answer.Bytes));
    }

    [Theory]
    [InlineData("")]
    [InlineData("n,,")]
    [InlineData("n,,\u0001")]
    [InlineData("n,,\u0001\u0001")]
    [InlineData("n,,\u0001auth=Basic x\u0001\u0001")]
    [InlineData("n,,\u0001auth=Bearer a\u0001auth=Bearer b\u0001\u0001")]
    [InlineData("y,,\u0001auth=Bearer a\u0001\u0001")]
    [InlineData("n,b=x,\u0001auth=Bearer a\u0001\u0001")]
    [InlineData("n\u0001auth=Bearer a\u0001\u0001")]
    public async Task Malformed_message_is_refused(string message)
    {
        using var client = await _server.ConnectAsync();
        await BeginAsync(client);
        Assert.Equal(ErrorCode.SaslAuthenticationFailed, (await SendAsync(client, Encoding.UTF8.GetBytes(message))).Error);
        Assert.Null(await client.ReceiveAsync());
    }

    [SkippableFact]
    public async Task Confluent_Kafka_writes_what_rules_allow_to_whom_its_token_names()
    {
        Librdkafka.Require();
        await _server.Broker.CreateTopicAsync(new Api.NewTopic("orders"));
        await _server.AllowAsync("alice", ResourceType.Topic, "orders", AccessOperation.Write);
        using var producer = new ProducerBuilder<Null, string>(new ProducerConfig
        {
            BootstrapServers = _server.Address,
            SecurityProtocol = Confluent.Kafka.SecurityProtocol.SaslPlaintext,
            SaslMechanism = SaslMechanism.OAuthBearer,
        }).SetOAuthBearerTokenRefreshHandler((client, _) =>
        {
            var expires = DateTime.UtcNow.AddMinutes(5);
            client.OAuthBearerSetToken(_issuer.Issue("alice", expires), new DateTimeOffset(expires).ToUnixTimeMilliseconds(), "alice");
        }).Build();
        var written = await producer.ProduceAsync("orders", new Message<Null, string> { Value = "one" });
        Assert.Equal(0, written.Offset.Value);
    }

    [SkippableFact]
    public async Task Kafkas_tools_authenticate_with_a_token()
    {
        var config = Path.GetTempFileName();
        var token = Path.GetTempFileName();
        await File.WriteAllTextAsync(token, _issuer.Issue("admin"));
        await File.WriteAllTextAsync(config, $"""
            security.protocol=SASL_PLAINTEXT
            sasl.mechanism=OAUTHBEARER
            sasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler
            sasl.oauthbearer.jwt.retriever.class=org.apache.kafka.common.security.oauthbearer.FileJwtRetriever
            sasl.oauthbearer.token.endpoint.url=file://{token}
            sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
            """);
        await ClientProgram.RunAsync(ClientProgram.Require("java"), [$"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{token}",
            .. ClientProgram.Java("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", _server.Address, "--command-config", config,
                "--create", "--topic", "orders")]);
        Assert.Equal("orders", Assert.Single(await _server.Broker.ListTopicsAsync()).Name);
        File.Delete(config);
        File.Delete(token);
    }

    private static async Task BeginAsync(WireClient client)
    {
        await client.SendAsync(Frames.Of((short)ApiKey.SaslHandshake, 1, 1, ("Mechanism", "OAUTHBEARER")));
        Assert.Equal(ErrorCode.None, Handshake(await client.ReceiveAsync()));
    }

    private static byte[] Message(string token, string header = "n,,", string extension = "") =>
        Encoding.UTF8.GetBytes($"{header}\u0001auth=Bearer {token}\u0001{extension}\u0001");
}
