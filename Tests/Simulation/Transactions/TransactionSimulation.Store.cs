using OrleansMq.Coordination;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

// The store: slow, failing clearly, failing with unknown outcome, or down for a while.
internal sealed partial class TransactionSimulation
{
    private readonly SortedDictionary<string, SimulatedDocument> _documents = new(StringComparer.Ordinal);
    private long _storeDownUntil;

    private bool StoreIsDown => Now < _storeDownUntil;

    private int StoreDelay() => !Quiet && Chance(3) ? Next(700) : 1 + Next(Scenario.StoreDelayMs);

    private void Read(SimulatedCoordinator coordinator)
    {
        coordinator.WantsToRead = false;
        var failed = StoreIsDown || Fails(Scenario.StoreFailsPercent / 3);
        After(StoreDelay(), () =>
        {
            var document = _documents[coordinator.Id];
            var (stored, version) = (document.Read(), document.Version);
            After(StoreDelay(), () => RunOn(coordinator, () =>
            {
                if (!failed)
                {
                    coordinator.Version = version;
                    OnRead(coordinator, stored);
                }
                else if (coordinator.Core is null)
                    Read(coordinator);
                else
                    Give(coordinator, new ReadFailed("the store is down"));
            }));
        });
    }

    private void Confirm(SimulatedCoordinator coordinator, ConfirmClaim confirm)
    {
        var failed = StoreIsDown || Fails(Scenario.StoreFailsPercent / 3);
        After(StoreDelay(), () =>
        {
            var claim = _documents[coordinator.Id].Claim;
            After(StoreDelay(), () => RunOn(coordinator, () =>
                Give(coordinator, failed ? new ClaimReadFailed(confirm.Number, "the store is down")
                    : new ClaimRead(confirm.Number, claim))));
        });
    }

    private void Write(SimulatedCoordinator coordinator, Store write)
    {
        var version = coordinator.Version;
        coordinator.WritesInFlight++;
        // A definite failure: nothing reaches the store.
        if (Fails(Scenario.StoreFailsPercent / 2))
        {
            After(StoreDelay(), () => RunOn(coordinator, () => GiveFailed("refused")));
            return;
        }
        var unclear = StoreIsDown || Fails(Scenario.StoreFailsPercent);
        if (unclear)
        {
            Figures.Unclear++;
            After(StoreDelay(), () => RunOn(coordinator, () => GiveFailed("no answer")));
            if (Chance(40))
                return;
        }
        // An abandoned write may be stored much later.
        After(unclear && Chance(50) ? Next(1_500) : StoreDelay(), () =>
        {
            var isStored = TryWrite(coordinator, write, version);
            var stored = _documents[coordinator.Id].Version;
            if (unclear)
                return;
            After(StoreDelay(), () => RunOn(coordinator, () =>
            {
                if (!isStored)
                {
                    GiveFailed("conflict");
                    return;
                }
                coordinator.WritesInFlight--;
                coordinator.Version = stored;
                Give(coordinator, new StoreCompleted(write.Document, write.Version));
            }));
        });

        void GiveFailed(string reason)
        {
            coordinator.WritesInFlight--;
            Give(coordinator, new StoreFailed(write.Document, reason, IsConflict: reason == "conflict"));
        }
    }

    private bool TryWrite(SimulatedCoordinator coordinator, Store write, long version)
    {
        var document = _documents[coordinator.Id];
        var before = document.State;
        var isStored = document.TryWrite((TransactionContent?)write.Content, version);
        if (IsTraced)
            Tell($"store <- {coordinator}: {Describe(write.Content)}: {(isStored ? "stored" : "refused")}");
        if (isStored)
            Outcomes.OnStored(coordinator.Id, before, document.State);
        return isStored;
    }

    /// <summary>Sets the claim in a document back. The state stays, as where only the writes since a backup were claims.</summary>
    private void RestoreClaim(string id)
    {
        if (_documents[id].State is not { } state)
            return;
        if (IsTraced)
            Tell($"the claim of {id} is RESTORED");
        _documents[id].Put(new TransactionContent(new CoordinatorClaim(1, NewGuid()), state));
    }

    private bool Fails(int percent) => !Quiet && Chance(percent);
}
