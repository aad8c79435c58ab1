using System.Buffers.Binary;
using System.Text;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Security;
using OrleansMq.Testing;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Sasl;

/// <summary>Authentication on the wire: what a connection may send when, and what becomes of it.</summary>
public sealed class SaslWireTests : IAsyncLifetime
{
    private KafkaServer _server = null!;

    public async Task InitializeAsync()
    {
        _server = await SaslServer.StartAsync(options => options with { FailedAuthenticationDelay = TimeSpan.FromMilliseconds(1) });
        await _server.AddUserAsync("alice", "secret");
    }

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [Theory]
    [InlineData("PLAIN")]
    [InlineData("SCRAM-SHA-256")]
    [InlineData("SCRAM-SHA-512")]
    public async Task Client_with_the_password_is_served_afterwards(string mechanism)
    {
        using var client = await _server.ConnectAsync();
        Assert.Equal(ErrorCode.None, await AuthenticateAsync(client, mechanism, "alice", "secret"));
        Assert.Equal(ErrorCode.ClusterAuthorizationFailed, await ListReassignmentsAsync(client));
        await _server.AllowAsync("alice", ResourceType.Cluster, ResourceTypes.Cluster, AccessOperation.Describe);
        Assert.Equal(ErrorCode.None, await ListReassignmentsAsync(client));
    }

    [Theory]
    [InlineData("PLAIN", "alice", "wrong")]
    [InlineData("PLAIN", "nobody", "secret")]
    [InlineData("SCRAM-SHA-256", "alice", "wrong")]
    [InlineData("SCRAM-SHA-256", "nobody", "secret")]
    [InlineData("SCRAM-SHA-512", "alice", "wrong")]
    public async Task Wrong_credentials_are_answered_alike_and_end_the_connection(string mechanism, string user, string password)
    {
        using var client = await _server.ConnectAsync();
        Assert.Equal(ErrorCode.SaslAuthenticationFailed, await AuthenticateAsync(client, mechanism, user, password));
        Assert.Null(await client.ReceiveAsync());
        Assert.DoesNotContain(_server.Log.Lines, line => line.Contains(password, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("PLAIN")]
    [InlineData("SCRAM-SHA-512")]
    public async Task Client_of_the_first_handshake_authenticates_without_headers(string mechanism)
    {
        using var client = await _server.ConnectAsync();
        await client.SendAsync(Frames.Of((short)ApiKey.SaslHandshake, 0, 1, ("Mechanism", mechanism)));
        Assert.Equal(ErrorCode.None, Handshake(await client.ReceiveAsync()));
        if (mechanism == "PLAIN")
        {
            await client.SendAsync(Plain("alice", "secret"));
            Assert.Empty((await client.ReceiveAsync())!);
        }
        else
        {
            var scram = new ScramClient(ScramMechanism.Sha512, "alice", "secret");
            await client.SendAsync(scram.First());
            await client.SendAsync(scram.Final((await client.ReceiveAsync())!));
            Assert.True(scram.Trusts((await client.ReceiveAsync())!));
        }
        Assert.Equal(ErrorCode.ClusterAuthorizationFailed, await ListReassignmentsAsync(client));
    }

    [Fact]
    public async Task Unauthenticated_connection_that_asks_for_something_is_closed()
    {
        using var client = await _server.ConnectAsync();
        await client.SendAsync(Frames.Of((short)ApiKey.ApiVersions, 3, 1));
        Assert.NotNull(await client.ReceiveAsync());
        await client.SendAsync(Frames.Of((short)ApiKey.Metadata, 12, 2));
        Assert.Null(await client.ReceiveAsync());
        Assert.Contains(_server.Log.Lines, static line => line.Contains("requires SASL", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Unauthenticated_connection_that_announces_a_large_frame_is_closed()
    {
        using var client = await _server.ConnectAsync();
        var head = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(head, SaslExchange.MaxMessageBytes + 1);
        await client.SendRawAsync(head);
        Assert.Null(await client.ReceiveAsync());
    }

    [Fact]
    public async Task Unknown_mechanism_is_answered_with_those_there_are()
    {
        using var client = await _server.ConnectAsync();
        await client.SendAsync(Frames.Of((short)ApiKey.SaslHandshake, 1, 1, ("Mechanism", "GSSAPI")));
        var answer = (await client.ReceiveAsync())!;
        var text = MessageText.OfResponse(Schema.Response((short)ApiKey.SaslHandshake), 1, answer, 1);
        Assert.Contains($"ErrorCode: {(short)ErrorCode.UnsupportedSaslMechanism}\n", text, StringComparison.Ordinal);
        Assert.Contains("SCRAM-SHA-512", text, StringComparison.Ordinal);
        Assert.Null(await client.ReceiveAsync());
    }

    [Fact]
    public async Task Mechanism_that_is_switched_off_is_not_offered()
    {
        await using var server = await SaslServer.StartAsync(secure: static security =>
            security with { SaslMechanisms = ["SCRAM-SHA-512"] });
        using var client = await server.ConnectAsync();
        await client.SendAsync(Frames.Of((short)ApiKey.SaslHandshake, 1, 1, ("Mechanism", "PLAIN")));
        var answer = (await client.ReceiveAsync())!;
        Assert.Equal(ErrorCode.UnsupportedSaslMechanism, Handshake(answer));
        var text = MessageText.OfResponse(Schema.Response((short)ApiKey.SaslHandshake), 1, answer, 1);
        Assert.Contains("SCRAM-SHA-512", text, StringComparison.Ordinal);
        Assert.DoesNotContain("PLAIN", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Message_without_a_handshake_is_refused()
    {
        using var client = await _server.ConnectAsync();
        Assert.Equal(ErrorCode.IllegalSaslState, (await SendAsync(client, Plain("alice", "secret"))).Error);
        Assert.Null(await client.ReceiveAsync());
    }

    [Fact]
    public async Task Connection_authenticates_again_as_the_same_user_alone()
    {
        await _server.AddUserAsync("bob", "secret");
        using var client = await _server.ConnectAsync();
        Assert.Equal(ErrorCode.None, await AuthenticateAsync(client, "PLAIN", "alice", "secret"));
        Assert.Equal(ErrorCode.None, await AuthenticateAsync(client, "PLAIN", "alice", "secret"));
        Assert.Equal(ErrorCode.SaslAuthenticationFailed, await AuthenticateAsync(client, "PLAIN", "bob", "secret"));
        Assert.Null(await client.ReceiveAsync());
    }

    [Fact]
    public async Task Connection_keeps_its_mechanism()
    {
        using var client = await _server.ConnectAsync();
        Assert.Equal(ErrorCode.None, await AuthenticateAsync(client, "PLAIN", "alice", "secret"));
        await client.SendAsync(Frames.Of((short)ApiKey.SaslHandshake, 1, 1, ("Mechanism", "SCRAM-SHA-256")));
        Assert.Equal(ErrorCode.IllegalSaslState, Handshake(await client.ReceiveAsync()));
        Assert.Null(await client.ReceiveAsync());
    }

    [Fact]
    public async Task Connection_of_a_deleted_user_ends_with_its_next_request()
    {
        using var client = await _server.ConnectAsync();
        Assert.Equal(ErrorCode.None, await AuthenticateAsync(client, "PLAIN", "alice", "secret"));
        await _server.AddUserAsync("bob", "secret");
        Assert.Equal(ErrorCode.ClusterAuthorizationFailed, await ListReassignmentsAsync(client));
        await _server.Broker.Security.DeleteUserAsync("alice");
        await client.SendAsync(Frames.Of((short)ApiKey.ListPartitionReassignments, 0, 9));
        Assert.Null(await client.ReceiveAsync());
    }

    [Fact]
    public async Task Rule_that_is_withdrawn_holds_at_once_for_open_connections()
    {
        await _server.Broker.CreateTopicAsync(new NewTopic("orders"));
        await _server.AllowAsync("alice", ResourceType.Topic, "orders", AccessOperation.Write);
        using var client = await _server.ConnectAsync();
        Assert.Equal(ErrorCode.None, await AuthenticateAsync(client, "PLAIN", "alice", "secret"));
        Assert.Contains("ErrorCode: 0\n", await ProduceAsync(client), StringComparison.Ordinal);
        await _server.Broker.Security.DeleteAclsAsync([new AclFilter(Principal: "User:alice")]);
        Assert.Contains($"ErrorCode: {(short)ErrorCode.TopicAuthorizationFailed}\n", await ProduceAsync(client), StringComparison.Ordinal);
    }

    private static async Task<string> ProduceAsync(WireClient client)
    {
        await client.SendAsync(Frames.Of((short)ApiKey.Produce, 9, 5, ("Acks", 1), ("Name", "orders"), ("Index", 0)));
        return MessageText.OfResponse(Schema.Response((short)ApiKey.Produce), 9, (await client.ReceiveAsync())!, 5);
    }

    [Fact]
    public async Task Expired_authentication_must_be_repeated()
    {
        var time = new ManualTimeProvider();
        await using var server = await SaslServer.StartAsync(options => options with
        {
            TimeProvider = time,
            MaxReauthentication = TimeSpan.FromMinutes(1),
        });
        using var client = await server.ConnectAsync();
        var (error, lifetime) = await PlainAsync(client);
        Assert.Equal((ErrorCode.None, 60_000), (error, lifetime));
        time.Advance(TimeSpan.FromSeconds(50));
        Assert.Equal((ErrorCode.None, 60_000), await PlainAsync(client));
        time.Advance(TimeSpan.FromSeconds(50));
        Assert.Equal(ErrorCode.None, await ListReassignmentsAsync(client));
        time.Advance(TimeSpan.FromSeconds(11));
        await client.SendAsync(Frames.Of((short)ApiKey.ApiVersions, 3, 9));
        Assert.Null(await client.ReceiveAsync());

        // One that begins to authenticate again has as long as one that is new.
        using var slow = await server.ConnectAsync();
        Assert.Equal((ErrorCode.None, 60_000), await PlainAsync(slow));
        await slow.SendAsync(Frames.Of((short)ApiKey.SaslHandshake, 1, 1, ("Mechanism", "PLAIN")));
        Assert.Equal(ErrorCode.None, Handshake(await slow.ReceiveAsync()));
        time.Advance(TimeSpan.FromSeconds(10));
        Assert.Null(await slow.ReceiveAsync());

        static async Task<(ErrorCode, long)> PlainAsync(WireClient client)
        {
            await client.SendAsync(Frames.Of((short)ApiKey.SaslHandshake, 1, 1, ("Mechanism", "PLAIN")));
            Assert.Equal(ErrorCode.None, Handshake(await client.ReceiveAsync()));
            var answer = await SendAsync(client, Plain("admin", SaslServer.AdminPassword));
            return (answer.Error, answer.Lifetime);
        }
    }

    [Fact]
    public async Task Client_that_does_not_authenticate_in_time_is_disconnected()
    {
        var time = new ManualTimeProvider();
        await using var server = await SaslServer.StartAsync(options => options with { TimeProvider = time });
        using var silent = await server.ConnectAsync();
        using var known = await server.ConnectAsync();
        Assert.Equal(ErrorCode.None, await AuthenticateAsync(known, "PLAIN", "admin", SaslServer.AdminPassword));
        await silent.SendAsync(Frames.Of((short)ApiKey.ApiVersions, 3, 1));
        Assert.NotNull(await silent.ReceiveAsync());
        time.Advance(TimeSpan.FromSeconds(10));
        Assert.Null(await silent.ReceiveAsync());
        Assert.Equal(ErrorCode.None, await ListReassignmentsAsync(known));
    }

    [Fact]
    public async Task Further_unauthenticated_connections_are_closed_until_one_authenticates()
    {
        await using var server = await SaslServer.StartAsync(options => options with { MaxUnauthenticated = 8 });
        // A quarter of them may come from one address.
        using var first = await server.ConnectAsync();
        using var second = await server.ConnectAsync();
        await GreetAsync(first);
        await GreetAsync(second);
        using (var third = await server.ConnectAsync())
            Assert.Null(await third.ReceiveAsync());
        Assert.Equal(ErrorCode.None, await AuthenticateAsync(first, "PLAIN", "admin", SaslServer.AdminPassword));
        using var fourth = await server.ConnectAsync();
        await GreetAsync(fourth);

        static async Task GreetAsync(WireClient client)
        {
            await client.SendAsync(Frames.Of((short)ApiKey.ApiVersions, 3, 1));
            Assert.NotNull(await client.ReceiveAsync());
        }
    }

    internal static async Task<ErrorCode> AuthenticateAsync(WireClient client, string mechanism, string user, string password)
    {
        await client.SendAsync(Frames.Of((short)ApiKey.SaslHandshake, 1, 1, ("Mechanism", mechanism)));
        Assert.Equal(ErrorCode.None, Handshake(await client.ReceiveAsync()));
        if (mechanism == "PLAIN")
            return (await SendAsync(client, Plain(user, password))).Error;
        var scram = new ScramClient(ScramMechanisms.Parse(mechanism), user, password);
        var challenge = await SendAsync(client, scram.First());
        Assert.Equal(ErrorCode.None, challenge.Error);
        var last = await SendAsync(client, scram.Final(challenge.Bytes));
        Assert.Equal(last.Error == ErrorCode.None, scram.Trusts(last.Bytes));
        return last.Error;
    }

    internal static async Task<(ErrorCode Error, byte[] Bytes, long Lifetime)> SendAsync(WireClient client, byte[] message)
    {
        await client.SendAsync(Frames.Of((short)ApiKey.SaslAuthenticate, 1, 2, ("AuthBytes", message)));
        var reader = new RequestReader((await client.ReceiveAsync())!, sizeof(int));
        var error = (ErrorCode)reader.ReadInt16();
        reader.ReadNullableString();
        return (error, reader.ReadBytes().ToArray(), reader.ReadInt64());
    }

    internal static async Task<ErrorCode> ListReassignmentsAsync(WireClient client)
    {
        await client.SendAsync(Frames.Of((short)ApiKey.ListPartitionReassignments, 0, 9));
        var reader = new RequestReader((await client.ReceiveAsync())!, sizeof(int)) { IsFlexible = true };
        reader.SkipTags();
        reader.ReadInt32();
        return (ErrorCode)reader.ReadInt16();
    }

    internal static ErrorCode Handshake(byte[]? answer) => (ErrorCode)BinaryPrimitives.ReadInt16BigEndian(answer.AsSpan(sizeof(int)));

    private static byte[] Plain(string user, string password) => Encoding.UTF8.GetBytes($"\0{user}\0{password}");
}
