using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Engine.VirtualHosts;

public sealed class DefinitionsTests
{
    // As RabbitMQ 3.10 writes them, but for the figures.
    private const string Sample = """
        {
          "rabbit_version": "3.10.8", "rabbitmq_version": "3.10.8", "product_name": "RabbitMQ", "product_version": "3.10.8",
          "users": [
            { "name": "ann", "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
              "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["administrator"], "limits": {} },
            { "name": "bob", "password_hash": "", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": "monitoring, policymaker" }
          ],
          "vhosts": [ { "name": "/" }, { "name": "shop", "description": "The shop", "tags": ["a"], "default_queue_type": "quorum" } ],
          "permissions": [ { "user": "ann", "vhost": "shop", "configure": ".*", "write": "^a", "read": "" } ],
          "topic_permissions": [ { "user": "ann", "vhost": "shop", "exchange": "events", "write": "^{username}", "read": ".*" } ],
          "parameters": [
            { "vhost": "shop", "component": "operator_policy", "name": "limit",
              "value": { "pattern": "", "definition": { "max-length": 9 }, "priority": 1, "apply-to": "queues" } },
            { "vhost": "shop", "component": "shovel", "name": "s", "value": {} } ],
          "global_parameters": [ { "name": "cluster_name", "value": "rabbit@one" } ],
          "policies": [ { "vhost": "shop", "name": "ttl", "pattern": "^orders", "apply-to": "queues",
            "definition": { "message-ttl": 60000, "ha-mode": "all" }, "priority": 0 } ],
          "queues": [ { "name": "orders", "vhost": "shop", "durable": true, "auto_delete": false, "arguments": {} },
            { "name": "old", "vhost": "/", "durable": true, "auto_delete": false,
              "arguments": { "x-queue-type": "classic", "x-max-length": 10 } } ],
          "exchanges": [ { "name": "events", "vhost": "shop", "type": "topic", "durable": true, "auto_delete": true, "internal": false,
            "arguments": { "alternate-exchange": "amq.fanout" } } ],
          "bindings": [
            { "source": "events", "vhost": "shop", "destination": "orders", "destination_type": "queue", "routing_key": "orders.#",
              "arguments": { "x": [1, true, null, { "y": "z" }] } },
            { "source": "amq.topic", "vhost": "shop", "destination": "events", "destination_type": "exchange", "routing_key": "#",
              "arguments": {} } ]
        }
        """;

    private static readonly ImmutableDictionary<string, UserState> NoUsers = ImmutableDictionary<string, UserState>.Empty;
    private static readonly ImmutableDictionary<string, VirtualHostState> NoHosts = ImmutableDictionary<string, VirtualHostState>.Empty;

    private static DefinitionsImport Import(string json, ImmutableDictionary<string, UserState>? users = null,
        ImmutableDictionary<string, VirtualHostState>? hosts = null, string? virtualHost = null)
    {
        var id = 100L;
        return DefinitionsImport.Of(Definitions.Parse(Encoding.UTF8.GetBytes(json), virtualHost), users ?? NoUsers, hosts ?? NoHosts,
            () => ++id);
    }

    private static ImmutableDictionary<string, VirtualHostState> HostsOf(DefinitionsImport import) => import.Hosts.ToImmutableDictionary(
        host => host.Settings.Name, host => new VirtualHostState(host.Settings, host.Topology.Next));

    private static string Export(DefinitionsImport import) => Encoding.UTF8.GetString(Definitions.Export(import.Users,
        [.. HostsOf(import).Values.OrderBy(host => host.Settings.Name, StringComparer.Ordinal)], "4.3.0"));

    [Fact]
    public void Definitions_of_RabbitMQ_are_imported()
    {
        var import = Import(Sample);
        Assert.True(UserState.MayLogIn(import.Users[0], "test12", isLoopback: false));
        Assert.Equal(["monitoring", "policymaker"], import.Users[1].Tags.AsEnumerable());
        Assert.All(import.Hosts, host => Assert.True(host.IsNew));
        var shop = HostsOf(import)["shop"];
        Assert.Equal(("The shop", QueueType.Quorum), (shop.Settings.Description, shop.Settings.DefaultQueueType));
        Assert.Equal(QueueType.Quorum, shop.Topology.FindQueue("orders")!.Type);
        Assert.Equal(QueueType.Classic, HostsOf(import)["/"].Topology.FindQueue("old")!.Type);
        Assert.True(shop.Topology.FindExchange("events")!.WasBound);
        var settings = shop.Settings.Policies.SettingsOf(shop.Topology.FindQueue("orders")!);
        Assert.Equal(("ttl", "limit", 9L, TimeSpan.FromMinutes(1)),
            (settings.Policy, settings.OperatorPolicy, settings.MaxLength, settings.MessageTtl));
        var access = new UserAccess(import.Users[0], "shop", shop.Settings.Permissions["ann"]);
        Assert.Null(access.CheckPublish("a", null, ""));
        Assert.NotNull(access.CheckPublish("a", shop.Topology.FindExchange("events")! with { Name = "events" }, "bob"));
        var collector = new RouteCollector();
        RoutingTable.Of(shop.Topology, shop.Settings.Policies.AlternateOf).Route("amq.topic",
            new RoutedMessage("orders.1", FieldTable.Empty), collector);
        Assert.Equal("orders", Assert.Single(collector.Targets).Name);
        Assert.Equal(["parameters[1]: the component 'shovel'", "global_parameters[0]: 'cluster_name'"],
            [.. Definitions.Parse(Encoding.UTF8.GetBytes(Sample)).Ignored]);
    }

    [Fact]
    public void What_is_exported_is_imported_as_the_same()
    {
        var exported = Export(Import(Sample));
        Assert.Equal(exported, Export(Import(exported)));
        using var json = JsonDocument.Parse(exported);
        Assert.Equal(["rabbit_version", "rabbitmq_version", "rabbitmq_definition_format", "users", "vhosts", "permissions",
            "topic_permissions", "parameters", "global_parameters", "policies", "queues", "exchanges", "bindings"],
            json.RootElement.EnumerateObject().Select(field => field.Name));
        Assert.Equal("""{"source":"events","vhost":"shop","destination":"orders","destination_type":"queue","routing_key":"orders.#","""
            + "\"arguments\":{\"x\":[1,true,null,{\"y\":\"z\"}]}}", json.RootElement.GetProperty("bindings")[1].GetRawText());
        Assert.Equal("""{"vhost":"shop","name":"ttl","pattern":"^orders","apply-to":"queues","definition":{"ha-mode":"all","message-ttl":"""
            + "60000},\"priority\":0}", json.RootElement.GetProperty("policies")[0].GetRawText());
    }

    [Fact]
    public void Limits_of_virtual_hosts_are_parameters()
    {
        var import = Import("""
            {"vhosts":[{"name":"a"},{"name":"b"},{"name":"c"}],"parameters":[
             {"value":{"max-connections":50},"vhost":"a","component":"vhost-limits","name":"limits"},
             {"value":{"max-queues":0,"max-connections":-1},"vhost":"b","component":"vhost-limits","name":"limits"}]}
            """);
        Assert.Equal([(50, null), (null, 0), (null, null)],
            import.Hosts.Select(static host => (host.Settings.MaxConnections, host.Settings.MaxQueues)));
        var exported = Export(import);
        using var json = JsonDocument.Parse(exported);
        Assert.Equal("""[{"vhost":"a","component":"vhost-limits","name":"limits","value":{"max-connections":50}},"""
            + """{"vhost":"b","component":"vhost-limits","name":"limits","value":{"max-queues":0}}]""",
            json.RootElement.GetProperty("parameters").GetRawText());
        Assert.Equal(exported, Export(Import(exported)));
    }

    [Fact]
    public void Import_again_changes_no_queue_and_keeps_who_users_are()
    {
        var first = Import(Sample);
        var again = Import(Sample, first.Users.ToImmutableDictionary(user => user.Name), HostsOf(first));
        Assert.All(again.Hosts, host => Assert.Empty(host.Topology.Edits));
        Assert.All(again.Hosts, host => Assert.False(host.IsNew));
        Assert.Equal(first.Users.Select(user => user.Id), again.Users.Select(user => user.Id));
        // A queue that exists with other arguments stays.
        var other = Import(Sample.Replace("\"x-max-length\": 10", "\"x-max-length\": 11", StringComparison.Ordinal), null, HostsOf(first));
        Assert.Equal(10, HostsOf(other)["/"].Topology.FindQueue("old")!.Arguments.Integer("x-max-length"));
        // A new user of the same name does not keep the topic permissions of the old one.
        Assert.NotEmpty(first.Hosts[1].Settings.Permissions["ann"].Topics);
        Assert.Empty(Import("""{"permissions":[{"user":"ann","vhost":"shop","configure":"","write":"","read":""}]}""",
            NoUsers.Add("ann", first.Users[0] with { Id = 7 }), HostsOf(first)).Hosts[0].Settings.Permissions["ann"].Topics);
    }

    [Fact]
    public void Definitions_of_one_host_need_not_name_it()
    {
        const string Json = """
            {"queues":[{"name":"q","arguments":[]}],
             "bindings":[{"source":"","destination":"q","destination_type":"queue","routing_key":"q","arguments":{}}]}
            """;
        var import = Import(Json, null,
            NoHosts.Add("/", new VirtualHostState(new VirtualHostSettings { Name = "/" }, VirtualHostTopology.Create("/"))), "/");
        Assert.NotNull(HostsOf(import)["/"].Topology.FindQueue("q"));
        Assert.Empty(HostsOf(import)["/"].Topology.Bindings);
    }

    [Theory]
    [InlineData("[", "not JSON")]
    [InlineData("[]", "The definitions must be an object")]
    [InlineData("""{"queues":{}}""", "queues must be a list")]
    [InlineData("""{"queues":[{"name":"q","vhost":"/"},7]}""", "queues[1] must be an object, not Number")]
    [InlineData("""{"queues":[{"vhost":"/"}]}""", "queues[0].name is missing.")]
    [InlineData("""{"queues":[{"name":"","vhost":"/"}]}""", "queues[0].name must not be empty.")]
    [InlineData("""{"queues":[{"name":"q"}]}""", "queues[0].vhost is missing.")]
    [InlineData("""{"queues":[{"name":"q","vhost":"/","durable":"yes"}]}""", "queues[0].durable must be true or false, not \"yes\".")]
    [InlineData("""{"queues":[{"name":"q","vhost":"/","arguments":5}]}""", "queues[0].arguments must be an object, not 5.")]
    [InlineData("""{"exchanges":[{"name":5,"vhost":"/"}]}""", "exchanges[0].name must be a text, not 5.")]
    [InlineData("""{"bindings":[{"source":"a","vhost":"/","destination":"b","destination_type":"c"}]}""",
        "bindings[0].destination_type must be queue or exchange, not 'c'.")]
    [InlineData("""{"users":[{"name":"a","hashing_algorithm":"md5"}]}""", "users[0]: hashing_algorithm must be")]
    [InlineData("""{"users":[{"name":"a","password_hash":"AQID"}]}""", "users[0]: password_hash must be the base64 of 36 bytes.")]
    [InlineData("""{"users":[{"name":"a","tags":[1]}]}""", "users[0].tags must be a list of texts, not [1].")]
    [InlineData("""{"vhosts":[{"name":"a","default_queue_type":"x"}]}""", "vhosts[0].default_queue_type must be classic, quorum or stream")]
    [InlineData("""{"permissions":[{"user":"a","vhost":"/","configure":"(","write":"","read":""}]}""",
        "permissions[0].configure '(' is no regular expression")]
    [InlineData("""{"policies":[{"name":"p","vhost":"/","pattern":"","definition":{"max-length":"5"}}]}""",
        "policies[0].definition.max-length must be an integer of 0 or more, not 5.")]
    [InlineData("""{"policies":[{"name":"p","vhost":"/","pattern":"","definition":{},"apply-to":"x"}]}""", "policies[0].apply-to must be")]
    [InlineData("""{"policies":[{"name":"p","vhost":"/","pattern":"","definition":{},"priority":"x"}]}""", "policies[0].priority must be")]
    [InlineData("""{"parameters":[{"name":"p","vhost":"/","component":"operator_policy","value":{"pattern":"","definition":{"x":1}}}]}""",
        "parameters[0].value.definition.x is not a setting of policies.")]
    [InlineData("""{"parameters":[{"name":"limits","vhost":"/","component":"vhost-limits","value":{"max-queues":"many"}}]}""",
        "parameters[0].value.max-queues must be an integer, not \"many\".")]
    public void Wrong_field_is_named(string json, string said) => Assert.Contains(said,
        Assert.ThrowsAny<FormatException>(() => Definitions.Parse(Encoding.UTF8.GetBytes(json))).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("""{"queues":[{"name":"q","vhost":"x"}]}""", "The virtual host 'x' does not exist.")]
    [InlineData("""{"parameters":[{"name":"limits","vhost":"x","component":"vhost-limits","value":{}}]}""",
        "The virtual host 'x' does not exist.")]
    [InlineData("""{"vhosts":[{"name":"x"}],"permissions":[{"user":"a","vhost":"x","configure":"","write":"","read":""}]}""",
        "permissions[0].user: the user 'a' does not exist.")]
    [InlineData("""{"vhosts":[{"name":"x"}],"queues":[{"name":"q","vhost":"x","arguments":{"x-expires":0}}]}""",
        "queues[0]: invalid arg 'x-expires' for queue 'q' in vhost 'x': {value_zero,0}.")]
    [InlineData("""{"vhosts":[{"name":"x"}],"exchanges":[{"name":"e","vhost":"x","type":"y"}]}""",
        "exchanges[0]: unknown exchange type 'y'.")]
    [InlineData("""{"vhosts":[{"name":"x"}],"bindings":[{"source":"a","vhost":"x","destination":"b","destination_type":"queue"}]}""",
        "bindings[0]: no exchange 'a' in vhost 'x'.")]
    public void Entry_that_cannot_be_made_is_named(string json, string said) =>
        Assert.Contains(said, Assert.ThrowsAny<FormatException>(() => Import(json)).Message, StringComparison.Ordinal);

    [Fact]
    public void Queues_that_a_broker_named_are_imported()
    {
        const string Json = """
            {"vhosts":[{"name":"/"}],"queues":[{"name":"amq.gen-1","vhost":"/"}],
             "bindings":[{"source":"amq.topic","vhost":"/","destination":"amq.gen-1","destination_type":"queue","routing_key":"a"}]}
            """;
        var import = Import(Json);
        Assert.NotNull(HostsOf(import)["/"].Topology.FindQueue("amq.gen-1"));
        Assert.Equal(Export(import), Export(Import(Export(import))));
        Assert.Equal("queues[0].name must not be empty.", Assert.ThrowsAny<FormatException>(() =>
            Import("""{"vhosts":[{"name":"/"}],"queues":[{"name":"\r\n","vhost":"/"}]}""")).Message);
    }

    [Fact]
    public void Long_routing_key_is_refused_by_its_place() => Assert.Equal(
        "bindings[0]: the routing key of a binding has 50000 bytes, at most 255 are allowed.",
        Assert.ThrowsAny<FormatException>(() => Import($$"""
            {"vhosts":[{"name":"/"}],"queues":[{"name":"q","vhost":"/"}],"bindings":[{"source":"amq.topic","vhost":"/","destination":"q",
             "destination_type":"queue","routing_key":"{{new string('.', 50_000)}}"}]}
            """)).Message);

    [Fact]
    public void Import_keeps_the_settings_of_a_host_that_exists()
    {
        var hosts = HostsOf(Import(Sample));
        var shop = Import("""{"vhosts":[{"name":"shop"}],"queues":[{"name":"new","vhost":"shop"}]}""", null, hosts).Hosts.Single();
        Assert.Equal(hosts["shop"].Settings.Tags.AsEnumerable(), shop.Settings.Tags.AsEnumerable());
        Assert.Equal(("The shop", QueueType.Quorum), (shop.Settings.Description, shop.Settings.DefaultQueueType));
        Assert.Equal(QueueType.Quorum, shop.Topology.Next.FindQueue("new")!.Type);
    }
}
