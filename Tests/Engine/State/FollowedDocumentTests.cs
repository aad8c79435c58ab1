using OrleansMq.Diagnostics;
using OrleansMq.Quotas;
using OrleansMq.State;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Engine.VirtualHosts;

namespace OrleansMq.Tests.Engine.State;

/// <summary>A document that each broker follows.</summary>
public sealed class FollowedDocumentTests
{
    // The broker that made a change answers its client when all others have it in force.
    [Fact]
    public async Task Version_is_in_force_when_what_follows_from_it_is()
    {
        FollowedDocument<QuotaDocument> followed = null!;
        var heardBefore = new List<bool>();
        var kind = new FollowedDocumentKind<QuotaDocument>(QuotaDocument.Key, "quotas", QuotaDocument.Empty,
            QuotaJson.Default.QuotaDocument, "");
        var store = new MemoryStateStore();
        followed = new FollowedDocument<QuotaDocument>(kind, () => store, EngineLog.Silent, new ManualClock(), null)
        {
            Taken = (_, document) => heardBefore.Add(followed.Hear(document.Version)),
        };
        await using (followed)
        {
            await followed.OpenAsync(follows: false);
            await followed.ChangeAsync(document => document.With([]), CancellationToken.None);
            Assert.Equal(1, followed.Current.Version);
            Assert.Equal([true, false], heardBefore);
            Assert.True(followed.Hear(1));
            Assert.False(followed.Hear(2));
        }
    }
}
