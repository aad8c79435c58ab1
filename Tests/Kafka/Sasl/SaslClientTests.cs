using Confluent.Kafka;
using Confluent.Kafka.Admin;
using OrleansMq.Security;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;
using KafkaErrorCode = Confluent.Kafka.ErrorCode;
using KafkaMechanism = Confluent.Kafka.Admin.ScramMechanism;
using ResourceType = OrleansMq.Access.ResourceType;

namespace OrleansMq.Tests.Kafka.Sasl;

/// <summary>Kafka's clients and tools authenticate, and may do what rules allow.</summary>
public sealed class SaslClientTests : IAsyncLifetime
{
    private KafkaServer _server = null!;

    public async Task InitializeAsync()
    {
        _server = await SaslServer.StartAsync();
        await _server.AddUserAsync("alice", "secret");
    }

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [SkippableTheory]
    [InlineData(SaslMechanism.Plain)]
    [InlineData(SaslMechanism.ScramSha256)]
    [InlineData(SaslMechanism.ScramSha512)]
    public async Task Confluent_Kafka_writes_and_reads_what_rules_allow(SaslMechanism mechanism)
    {
        Librdkafka.Require();
        await _server.Broker.CreateTopicAsync(new Api.NewTopic("orders"));
        await _server.Broker.CreateTopicAsync(new Api.NewTopic("secrets"));
        await _server.AllowAsync("alice", ResourceType.Topic, "orders", AccessOperation.Read, AccessOperation.Write);
        await _server.AllowAsync("alice", ResourceType.Group, "readers", AccessOperation.Read);
        var client = ConfigOf("alice", "secret", mechanism);
        using (var producer = new ProducerBuilder<Null, string>(new ProducerConfig(client) { EnableIdempotence = true }).Build())
        {
            await producer.ProduceAsync("orders", new Message<Null, string> { Value = "one" });
            var refused = await Assert.ThrowsAsync<ProduceException<Null, string>>(() =>
                producer.ProduceAsync("secrets", new Message<Null, string> { Value = "two" }));
            Assert.Equal(KafkaErrorCode.TopicAuthorizationFailed, refused.Error.Code);
        }
        using var consumer = new ConsumerBuilder<Ignore, string>(new ConsumerConfig(client)
        {
            GroupId = "readers",
            AutoOffsetReset = AutoOffsetReset.Earliest,
        }).Build();
        consumer.Subscribe("orders");
        Assert.Equal("one", consumer.Consume(KafkaServer.Patience).Message.Value);
        consumer.Commit();

        using var other = new ConsumerBuilder<Ignore, string>(new ConsumerConfig(client) { GroupId = "others" }).Build();
        other.Subscribe("orders");
        var forbidden = Assert.Throws<ConsumeException>(() => other.Consume(KafkaServer.Patience));
        Assert.Equal(KafkaErrorCode.GroupAuthorizationFailed, forbidden.Error.Code);
    }

    [SkippableFact]
    public async Task Regular_expression_is_assigned_topics_that_rules_allow_while_they_do()
    {
        Librdkafka.Require();
        foreach (var topic in (string[])["orders-1", "orders-2", "orders-secret", "others"])
            await _server.Broker.CreateTopicAsync(new Api.NewTopic(topic));
        var prefix = new AclRule(ResourceType.Topic, AclPattern.Prefixed, "orders-", "User:alice", "*", AccessOperation.Read,
            AclPermission.Allow);
        await _server.Broker.Security.CreateAclsAsync([prefix, prefix with
        {
            Pattern = AclPattern.Literal,
            ResourceName = "orders-secret",
            Operation = AccessOperation.Describe,
            Permission = AclPermission.Deny,
        }]);
        await _server.AllowAsync("alice", ResourceType.Group, "readers", AccessOperation.Read);
        using var consumer = new ConsumerBuilder<Ignore, string>(new ConsumerConfig(ConfigOf("alice", "secret", SaslMechanism.Plain))
        {
            GroupId = "readers",
            GroupProtocol = GroupProtocol.Consumer,
        }).Build();
        consumer.Subscribe("^orders-.*");
        UntilAssigned(consumer, "orders-1 orders-2");

        await _server.AllowAsync("alice", ResourceType.Topic, "orders-1", AccessOperation.Read);
        await _server.Broker.Security.DeleteAclsAsync([AclFilter.Of(prefix)]);
        UntilAssigned(consumer, "orders-1");
    }

    // Debian's librdkafka is an older one, which sends its nonce twice.
    [SkippableTheory]
    [InlineData("PLAIN")]
    [InlineData("SCRAM-SHA-256")]
    [InlineData("SCRAM-SHA-512")]
    public async Task Kcat_authenticates(string mechanism)
    {
        var listed = await ClientProgram.RunAsync(ClientProgram.Require("kcat"), ["-b", _server.Address, "-L",
            "-X", "security.protocol=SASL_PLAINTEXT", "-X", $"sasl.mechanisms={mechanism}", "-X", "sasl.username=admin",
            "-X", $"sasl.password={SaslServer.AdminPassword}"], "");
        Assert.Contains($"at {_server.Address}", listed, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Described_topic_tells_what_the_client_may_do_with_it()
    {
        Librdkafka.Require();
        await _server.Broker.CreateTopicAsync(new Api.NewTopic("orders"));
        await _server.AllowAsync("alice", ResourceType.Topic, "orders", AccessOperation.Read);
        using var admin = new AdminClientBuilder(ConfigOf("alice", "secret", SaslMechanism.Plain)).Build();
        var described = await admin.DescribeTopicsAsync(TopicCollection.OfTopicNames(["orders"]),
            new DescribeTopicsOptions { IncludeAuthorizedOperations = true });
        Assert.Equal([AclOperation.Read, AclOperation.Describe], described.TopicDescriptions[0].AuthorizedOperations.Order());
    }

    [SkippableFact]
    public async Task Wrong_password_is_an_error_of_authentication()
    {
        Librdkafka.Require();
        var failed = new TaskCompletionSource<Error>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var admin = new AdminClientBuilder(ConfigOf("alice", "wrong", SaslMechanism.ScramSha256))
            .SetErrorHandler((_, error) =>
            {
                if (error.Code == KafkaErrorCode.Local_Authentication)
                    failed.TrySetResult(error);
            }).SetLogHandler(static (_, _) => { }).Build();
        Assert.Throws<KafkaException>(() => admin.GetMetadata(TimeSpan.FromSeconds(2)));
        // The handler is called by another thread.
        await failed.Task.WaitAsync(KafkaServer.Patience);
    }

    [SkippableFact]
    public async Task Confluent_Kafka_administers_users_and_rules()
    {
        Librdkafka.Require();
        using var admin = new AdminClientBuilder(ConfigOf("admin", SaslServer.AdminPassword, SaslMechanism.ScramSha512)).Build();
        await admin.AlterUserScramCredentialsAsync([new UserScramCredentialUpsertion
        {
            User = "bob",
            ScramCredentialInfo = new ScramCredentialInfo { Mechanism = KafkaMechanism.ScramSha256, Iterations = 8_192 },
            Password = System.Text.Encoding.UTF8.GetBytes("hidden"),
        }]);
        Assert.True(await _server.Broker.Security.VerifiesAsync("bob", "hidden", "", default));
        var described = await admin.DescribeUserScramCredentialsAsync(["bob"], new DescribeUserScramCredentialsOptions());
        Assert.Equal(8_192, described.UserScramCredentialsDescriptions[0].ScramCredentialInfos[0].Iterations);
        var missing = await Assert.ThrowsAsync<DescribeUserScramCredentialsException>(() =>
            admin.DescribeUserScramCredentialsAsync(["nobody"], new DescribeUserScramCredentialsOptions()));
        Assert.Equal(KafkaErrorCode.ResourceNotFound, missing.Results.UserScramCredentialsDescriptions[0].Error.Code);

        var binding = new AclBinding
        {
            Pattern = new ResourcePattern { Type = Confluent.Kafka.Admin.ResourceType.Topic, Name = "ord",
                ResourcePatternType = ResourcePatternType.Prefixed },
            Entry = new AccessControlEntry { Principal = "User:bob", Host = "*", Operation = AclOperation.Write,
                PermissionType = AclPermissionType.Allow },
        };
        await admin.CreateAclsAsync([binding]);
        Assert.True(_server.Broker.Security.Authorizer.Decide("User:bob", "", AccessOperation.Write, ResourceType.Topic, "orders")
            .IsAllowed);
        var listed = await admin.DescribeAclsAsync(binding.ToFilter());
        Assert.Equal(binding, Assert.Single(listed.AclBindings));
        var deleted = await admin.DeleteAclsAsync([binding.ToFilter()]);
        Assert.Equal(binding, Assert.Single(deleted[0].AclBindings));
        Assert.Empty(_server.Broker.Security.ListAcls(new AclFilter()));

        await admin.AlterUserScramCredentialsAsync([new UserScramCredentialDeletion { User = "bob",
            Mechanism = KafkaMechanism.ScramSha256 }]);
        Assert.Empty(await _server.Broker.Security.DescribeUsersAsync(["bob"]));
    }

    [SkippableTheory]
    [InlineData("PLAIN")]
    [InlineData("SCRAM-SHA-512")]
    public async Task Kafkas_tools_authenticate_and_administer(string mechanism)
    {
        var config = Path.GetTempFileName();
        var module = mechanism == "PLAIN" ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
        await File.WriteAllTextAsync(config, $"""
            security.protocol=SASL_PLAINTEXT
            sasl.mechanism={mechanism}
            sasl.jaas.config=org.apache.kafka.common.security.{module} required username="admin" password="{SaslServer.AdminPassword}";
            """);
        await RunAsync("org.apache.kafka.tools.TopicCommand", ["--create", "--topic", "orders"]);
        await RunAsync("kafka.admin.ConfigCommand", ["--alter", "--entity-type", "users", "--entity-name", "bob", "--add-config",
            "SCRAM-SHA-256=[iterations=5000,password=hidden]"]);
        Assert.True(await _server.Broker.Security.VerifiesAsync("bob", "hidden", "", default));
        const string acls = "org.apache.kafka.tools.AclCommand";
        await RunAsync(acls, ["--add", "--allow-principal", "User:bob", "--producer", "--topic", "orders"]);
        Assert.Contains("User:bob", await RunAsync(acls, ["--list", "--topic", "orders"]), StringComparison.Ordinal);
        var authorizer = _server.Broker.Security.Authorizer;
        Assert.True(authorizer.Decide("User:bob", "", AccessOperation.Write, ResourceType.Topic, "orders").IsAllowed);
        await RunAsync(acls, ["--remove", "--allow-principal", "User:bob", "--producer", "--topic", "orders", "--force"]);
        Assert.False(authorizer.Decide("User:bob", "", AccessOperation.Write, ResourceType.Topic, "orders").IsAllowed);

        File.Delete(config);

        Task<string> RunAsync(string tool, string[] arguments) => ClientProgram.JavaAsync(tool,
            ["--bootstrap-server", _server.Address, "--command-config", config, .. arguments]);
    }

    // A fetch of a topic that has just been hidden is refused.
    private static void UntilAssigned(IConsumer<Ignore, string> consumer, string topics)
    {
        var deadline = DateTime.UtcNow + KafkaServer.Patience;
        while (AssignedTo(consumer) != topics)
        {
            Assert.True(DateTime.UtcNow < deadline, $"It was assigned '{AssignedTo(consumer)}', not '{topics}'.");
            try
            {
                consumer.Consume(TimeSpan.FromMilliseconds(20));
            }
            catch (ConsumeException refused) when (refused.Error.Code == KafkaErrorCode.TopicAuthorizationFailed)
            {
                // The next heartbeat takes the topic away.
            }
        }
    }

    private static string AssignedTo(IConsumer<Ignore, string> consumer) =>
        string.Join(' ', consumer.Assignment.Select(static partition => partition.Topic).Order(StringComparer.Ordinal));

    private ClientConfig ConfigOf(string user, string password, SaslMechanism mechanism) => new()
    {
        BootstrapServers = _server.Address,
        SecurityProtocol = Confluent.Kafka.SecurityProtocol.SaslPlaintext,
        SaslMechanism = mechanism,
        SaslUsername = user,
        SaslPassword = password,
    };
}
