// The samples that lie on the table at the start. Origins and licences of the pictures: samples/LICENCES.md.
import type { Table } from './table';

const PICTURES: ReadonlyArray<readonly [file: string, name: string]> = [
  ['cat.jpg', 'Chelsea the cat'],
  ['rocket.jpg', 'Falcon 9 on the pad'],
  ['coffee.jpg', 'A cup of espresso'],
  ['summer-palace.jpg', 'Summer Palace'],
  ['astronaut.jpg', 'Eileen Collins'],
  ['cameraman.jpg', 'A man filming'],
  ['coins.jpg', 'Coins from Pompeii'],
  ['hubble-deep-field.jpg', 'Hubble deep field'],
  ['horse.jpg', 'A horse'],
  ['bicycle.png', 'Bicycle'],
  ['penguin.png', 'Penguin'],
  ['sailboat.png', 'Sailing boat'],
];

const PASSAGES: ReadonlyArray<string> = [
  'A cat sleeps for twelve to sixteen hours a day, most of it lightly, with its ears still turning towards every sound.',
  'Espresso is made by pressing nearly boiling water through finely ground coffee at about nine bars.',
  'Die Rakete steht vor Sonnenaufgang betankt auf der Rampe, nur die Scheinwerfer sind an.',
  'The Hubble Space Telescope looked at one small patch of sky for weeks and found thousands of galaxies in it.',
  'Un vélo bien réglé ne fait presque aucun bruit, à part le cliquetis de la roue libre.',
  'Penguins cannot fly through air, but under water they use their wings exactly as other birds do.',
  'Roman and Greek coins carried the portrait of whoever had them struck, so that every purchase was also an announcement.',
  '頤和園は北京の北西にある庭園で、湖と丘と長い回廊で知られている。',
  'To sail against the wind a boat takes a zigzag course, each leg at about forty-five degrees to where the wind comes from.',
  'El caballo puede dormir de pie, porque sus patas se bloquean sin esfuerzo muscular.',
  'A film camera on a tripod needs a fluid head if the picture is to turn without a jerk.',
  'fn mean(xs: &[f32]) -> f32 { xs.iter().sum::<f32>() / xs.len() as f32 }',
];

/** Lays pictures and passages out in turns. A sample that cannot be fetched is left out. */
export async function layOutSamples(table: Table): Promise<void> {
  const files = await Promise.all(PICTURES.map(async ([file]) => {
    const response = await fetch(`samples/${file}`).catch(() => undefined);
    return response?.ok ? response.blob() : undefined;
  }));
  for (let i = 0; i < Math.max(PICTURES.length, PASSAGES.length); i++) {
    const file = files[i], picture = PICTURES[i], passage = PASSAGES[i];
    if (file && picture) table.addPicture(file, picture[1], URL.createObjectURL(file));
    if (passage) table.addPassage(passage);
  }
}
