using System.Collections.Immutable;
using OrleansMq.Quotas;

namespace OrleansMq.Tests.Engine.Quotas;

/// <summary>Which limit a client has. <c>OMQ_SEED</c> repeats a seed.</summary>
public sealed class QuotaImageTests
{
    private static readonly string?[] Names = [null, QuotaEntity.Default, "a", "b"];

    [Fact]
    public void First_entity_with_a_limit_wins_in_Kafkas_order()
    {
        QuotaEntity[] order = [new("u", "c"), new("u", ""), new("u"), new("", "c"), new("", ""), new(""), new(null, "c"), new(null, "")];
        for (var first = 0; first < order.Length; first++)
        {
            var image = new QuotaImage(order[first..].Select((entity, index) => Of(entity, QuotaKey.ProducerByteRate, first + index + 1)));
            Assert.Equal(first + 1, image.Find(QuotaKey.ProducerByteRate, "u", "c")!.Value.Limit);
        }
    }

    [Theory]
    [InlineData("u", "c", "u", "c")]
    [InlineData("u", "", "u", "c")]
    [InlineData("u", null, "u", null)]
    [InlineData("", "c", "u", "c")]
    [InlineData("", "", "u", "c")]
    [InlineData("", null, "u", null)]
    [InlineData(null, "c", null, "c")]
    [InlineData(null, "", null, "c")]
    public void Use_counts_by_what_the_entity_names(string? user, string? clientId, string? scopeUser, string? scopeClient)
    {
        var image = new QuotaImage([Of(new QuotaEntity(user, clientId), QuotaKey.ConsumerByteRate, 7)]);
        Assert.Equal(new QuotaMatch(7, new QuotaScope(scopeUser, scopeClient)), image.Find(QuotaKey.ConsumerByteRate, "u", "c"));
        Assert.Null(image.Find(QuotaKey.ProducerByteRate, "u", "c"));
    }

    [Fact]
    public void Client_without_an_id_has_the_default_and_is_another_with_each_user()
    {
        var image = new QuotaImage([Of(new QuotaEntity(null, ""), QuotaKey.ProducerByteRate, 7)]);
        Assert.Equal(new QuotaMatch(7, new QuotaScope("u", "")), image.Find(QuotaKey.ProducerByteRate, "u", ""));
    }

    [Fact]
    public void Address_has_its_own_limit_or_the_default()
    {
        var image = new QuotaImage([Of(new QuotaEntity(null, null, "10.0.0.1"), QuotaKey.ConnectionCreationRate, 1),
            Of(new QuotaEntity(null, null, ""), QuotaKey.ConnectionCreationRate, 2)]);
        Assert.Equal(new QuotaMatch(1, new QuotaScope(null, null, "10.0.0.1")), image.FindAddress("10.0.0.1"));
        Assert.Equal(new QuotaMatch(2, new QuotaScope(null, null, "10.0.0.2")), image.FindAddress("10.0.0.2"));
        Assert.Null(new QuotaImage([Of(new QuotaEntity("u"), QuotaKey.ProducerByteRate, 1)]).FindAddress("10.0.0.1"));
    }

    [Fact]
    public void Random_quotas_are_found_as_by_looking_at_all_of_them()
    {
        var given = Environment.GetEnvironmentVariable("OMQ_SEED");
        var first = given is null ? 1 : int.Parse(given, System.Globalization.CultureInfo.InvariantCulture);
        for (var seed = first; seed < (given is null ? 500 : first + 1); seed++)
        {
            var random = new Random(seed);
            var quotas = new Dictionary<QuotaEntity, ImmutableSortedDictionary<QuotaKey, double>>();
            for (var count = random.Next(12); count > 0; count--)
            {
                var entity = new QuotaEntity(Names[random.Next(Names.Length)], Names[random.Next(Names.Length)]);
                if (entity.Fault() is null)
                    quotas[entity] = QuotaKeys.All.Where(_ => random.Next(2) == 0)
                        .ToImmutableSortedDictionary(static key => key, _ => (double)random.Next(1, 1_000));
            }
            var image = new QuotaImage(quotas.Select(static one => new EntityQuotas(one.Key, one.Value)));
            foreach (var key in QuotaKeys.All)
            {
                foreach (var user in new[] { "a", "b", "c" })
                {
                    foreach (var client in new[] { "a", "b", "c", "" })
                        Assert.True(Naive(quotas, key, user, client) == image.Find(key, user, client)?.Limit,
                            $"{key} of {user}, {client}: repeat with OMQ_SEED={seed}");
                }
            }
        }
    }

    // Every entity that matches has a rank: by user before by client, by name before by default, both before one.
    private static double? Naive(Dictionary<QuotaEntity, ImmutableSortedDictionary<QuotaKey, double>> quotas, QuotaKey key, string user,
        string client) => quotas.Where(one => one.Value.ContainsKey(key)
            && (one.Key.User is null || one.Key.User == "" || one.Key.User == user)
            && (one.Key.ClientId is null || one.Key.ClientId == "" || one.Key.ClientId == client))
        .OrderBy(static one => Rank(one.Key.User)).ThenBy(static one => Rank(one.Key.ClientId))
        .Select(one => (double?)one.Value[key]).FirstOrDefault();

    private static int Rank(string? part) => part switch { null => 2, "" => 1, _ => 0 };

    private static EntityQuotas Of(QuotaEntity entity, QuotaKey key, double limit) =>
        new(entity, ImmutableSortedDictionary<QuotaKey, double>.Empty.Add(key, limit));
}
