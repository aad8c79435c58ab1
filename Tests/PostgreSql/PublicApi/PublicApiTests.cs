using OrleansMq.Client.PostgreSql;

namespace OrleansMq.Tests.PostgreSql.PublicApi;

/// <summary>The public API of the package is that of the text file beside this one.</summary>
public sealed class PublicApiTests
{
    [Fact]
    public void Public_api_is_the_reviewed_one() => Shared.PublicApi.Check(typeof(PostgresInbox).Assembly);
}
