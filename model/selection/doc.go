// Package selection chooses the features that tell labelled kinds of load from a reference, such as an idle guest from one under stress
// of memory, disk or network, as Paundu, Okuda, Kadobayashi and Yamaguchi did (ICICS 2015, sections 3.2 and 4.1), and weighs what they tell
// against what they cost.
//
// # The criterion
//
// For two classes with means m1, m2 and covariances S1, S2 (sums of squares divided by the number of units) Fisher's criterion of a
// direction w is
//
//	J(w) = (w·m1 - w·m2)² / (w·S1·w + w·S2·w).
//
// Its greatest value over all directions, that of linear discriminant analysis w = (S1+S2)⁻¹(m1-m2), is the J of a set of columns. It is 0 where
// the means are the same, and has no upper bound. The score
//
//	J / (J+2)
//
// is within 0 and 1. For classes of equal size it is what R's package subselect calls ccr1.2, tau.2, xi.2 and zeta.2, which are all the same
// for two classes: the squared canonical correlation of the columns with the class, or R² of the regression of the class on the columns. The paper's Table 1
// gives such scores. Classes of different sizes count alike here.
//
// Of several classes each is held against the reference. The score of them all is the mean of their scores: what a pair has already is
// bounded by 1, so that the pairs that are told worst have the most to give.
//
// # Singular scatter
//
// Duplicate or constant columns, and fewer units than columns, make S1+S2 singular. Three things make it regular, and each keeps J
// monotone (that of more columns is never less) and independent of what other columns there are:
//
//   - A count varies at least as that of a Poisson process of its mean does, half a hit in all units added: that is the least variance of a
//     column in a class. So a column that is constant in both classes does not tell them apart with certainty.
//   - Correlations are shrunk by a hundredth (towards none, as Schäfer and Strimmer do, Statistical Applications in Genetics and Molecular
//     Biology 4, 2005; they estimate by how much). What makes two columns differ that are otherwise one may still show.
//   - Columns that are equal in all units count once: a duplicate adds nothing.
//
// # Chance
//
// With few units and many columns the classes come apart by chance: of noise, 40 units each in 35 columns have J/(J+2) of 0.3. So a score is that of J
// less what chance gives (Lachenbruch and Mickey's estimate, Technometrics 10, 1968), with the number of columns counted by their
// correlations. Another column may lower it, which means that it adds noise. The held-out score is beside it: that of a
// direction on units that it was not learnt from. Neither knows how many features there were to choose from: the best few of hundreds that are all noise have
// a score, too, and only another recording tells.
//
// # Cost
//
// Each hit of an enabled trace point costs the guest [HitCost]. Columns belong to events, and an event that is enabled costs the same
// for one of its columns as for all of them.
//
// # The search
//
// It is deterministic: it adds the best feature, exchanges single features as long as that makes the selection better (as subselect's improve
// does), adds the next one, and so on. Where there is a budget, another search that adds what tells most for its cost competes with it. A
// feature is a group of columns: all those of an event, or one. Of equal ones the cheaper is taken.
package selection
